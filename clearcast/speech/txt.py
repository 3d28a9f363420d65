"""Plain text to read: one paragraph for each time a speaker has the word.

    # Made by transcribe: pocketsphinx (en-us), rough: expect wrong words.

    [00:00:05] Anna: Good morning everybody.

    [00:00:09] Reza: Good morning.

Lines that start with "#" are remarks at the head. A paragraph without a speaker has its text on the line
after the time. Times are whole seconds, rounded down; for exact ones there is JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from clearcast.errors import FileFormatInvalid
from clearcast.speech.clock import write_clock, write_seconds
from clearcast.speech.line_breaks import ends_sentence, joined
from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.provenance import Provenance
from clearcast.speech.text_direction import beside, named_line, one_line, split_name
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.turns import Diarization

LONG_PARAGRAPH_S = 120.0  # who talks for longer gets a new paragraph at the next sentence end
_PARAGRAPH = re.compile(r"\[([0-9]{2,}):([0-5][0-9]):([0-5][0-9])\](?: (.*))?")


@dataclass(slots=True)
class _Paragraph:
    start_s: float
    speaker: str | None
    texts: list[str] = field(default_factory=list)


def write_txt(transcript: Transcript) -> str:
    """The transcript as text, with a remark at the head where a rough engine took part."""
    return _document(_rough_remarks(transcript.provenance), _paragraph_texts(transcript))


def write_meeting_txt(meeting: Meeting) -> str:
    """Remarks on engines, warnings and speakers, then the transcript; the turns where there is none."""
    made_by = meeting.transcript.provenance if meeting.transcript else (meeting.diarization.provenance,)
    remarks = _rough_remarks(made_by)
    remarks += [one_line(warning) for warning in meeting.warnings]
    remarks += [_speaker_remark(item) for item in meeting.speakers if item.verdict != "not_compared"]
    if meeting.transcript is None:
        return _document(remarks, ["\n".join(_turn_lines(meeting.diarization))])
    return _document(remarks, _paragraph_texts(meeting.transcript))


def write_diarization_txt(diarization: Diarization) -> str:
    """One line per turn: "[00:00:05.120 – 00:00:08.300] SPEAKER_00"."""
    return _document(_rough_remarks((diarization.provenance,)), ["\n".join(_turn_lines(diarization))])


def read_txt(text: str) -> Transcript:
    """The paragraphs of `write_txt` as segments; each lasts until the next one starts, the last one is not
    known to last. Raises FileFormatInvalid, naming the line, for text outside of any paragraph.
    """
    paragraphs: list[_Paragraph] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        match = _PARAGRAPH.fullmatch(line.strip())
        if match is not None:
            hours, minutes, seconds = (int(match[group]) for group in (1, 2, 3))
            speaker, spoken = split_name(match[4] or "")
            paragraphs.append(_Paragraph(hours * 3600.0 + minutes * 60 + seconds, speaker, [spoken]))
        elif paragraphs:
            paragraphs[-1].texts.append(line.strip())
        elif line.strip() and not line.startswith("#"):
            raise FileFormatInvalid(
                f"Line {number}: a paragraph starts with its time, such as [00:01:05].", line=number
            )
    starts_s = [paragraph.start_s for paragraph in paragraphs]
    segments = []
    for paragraph, next_s in zip(paragraphs, [*starts_s[1:], *starts_s[-1:]], strict=True):
        spoken = joined([part for part in paragraph.texts if part])
        end_s = max(paragraph.start_s, next_s)
        segments.append(Segment(paragraph.start_s, end_s, spoken, speaker=paragraph.speaker))
    return Transcript(tuple(segments), None, max(starts_s, default=0.0), ())


def _document(remarks: Sequence[str], paragraphs: Sequence[str]) -> str:
    head = "\n".join(f"# {remark}" for remark in remarks)
    blocks = [block for block in (head, *paragraphs) if block]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _rough_remarks(made_by: Sequence[Provenance]) -> list[str]:
    return [f"Made by {item}: expect wrong words." for item in made_by if item.quality == "rough"]


def _paragraph_texts(transcript: Transcript) -> list[str]:
    texts = []
    for paragraph in _paragraphs(transcript.segments):
        stamp = f"[{write_seconds(int(paragraph.start_s))}]"
        spoken = joined(paragraph.texts)
        if paragraph.speaker:
            texts.append(f"{stamp} {named_line(paragraph.speaker, spoken)}")
        else:
            texts.append(f"{stamp}\n{spoken}")
    return texts


def _paragraphs(segments: Sequence[Segment]) -> Iterator[_Paragraph]:
    current: _Paragraph | None = None
    for segment in sorted(segments, key=lambda segment: segment.start_s):
        spoken = one_line(segment.text)
        if not spoken:
            continue
        if current is not None and (
            current.speaker != segment.speaker
            or (segment.start_s - current.start_s > LONG_PARAGRAPH_S and ends_sentence(current.texts[-1]))
        ):
            yield current
            current = None
        if current is None:
            current = _Paragraph(segment.start_s, segment.speaker)
        current.texts.append(spoken)
    if current is not None:
        yield current


def _turn_lines(diarization: Diarization) -> Iterator[str]:
    for turn in diarization.turns:
        start, end = (write_clock(round(time_s * 1000)) for time_s in (turn.start_s, turn.end_s))
        # Beside Latin text a right-to-left name is isolated, which keeps start and end in this order.
        yield f"[{start} – {end}] {beside(turn.speaker, 'a')}"


def _speaker_remark(speaker: SpeakerIdentity) -> str:
    remark = f"{beside(speaker.shown_as, 'a')}: {speaker.verdict.replace('_', ' ')}"
    remark += f", {speaker.speech_s:.1f} s of speech"
    for word, name, score in (
        ("nearest", speaker.best_name, speaker.best_score),
        ("then", speaker.runner_up_name, speaker.runner_up_score),
    ):
        if name is not None and score is not None:
            remark += f", {word} {beside(name, 'a')} {score:.2f}"
    return remark
