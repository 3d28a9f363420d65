"""ClearCast's own JSON files: a transcript, a diarization or a meeting, complete.

The schema, version 1: an object with "clearcast": 1 and "type": "transcript", "diarization" or "meeting",
then the fields of the dataclass of that name under the same names. Fields that may be null may be left out.

Numbers have at most six decimals. Times are thus exact to the microsecond (one sample at 192 kHz lasts 5.2)
and free of the noise of binary fractions; reading a file and writing it again gives the same bytes. Text is
UTF-8, not escaped.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from clearcast.errors import FileFormatInvalid
from clearcast.speech.json_fields import Fields, fail, parse_object
from clearcast.speech.meeting import Meeting, SpeakerIdentity, Verdict
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.speech.turns import Diarization, Turn

SCHEMA_VERSION = 1
_DECIMALS = 6

_TRANSCRIPT = ("language", "language_confidence", "duration_s", "provenance", "segments")
_SEGMENT = ("start_s", "end_s", "speaker", "text", "confidence", "no_speech_probability", "words")
_WORD = ("start_s", "end_s", "text", "confidence", "speaker", "joins_previous")
_DIARIZATION = ("duration_s", "overlap_marked", "provenance", "turns")
_TURN = ("start_s", "end_s", "speaker")
_MEETING = ("diarization", "speakers", "transcript", "warnings")
_SPEAKER = (
    *("label", "speech_s", "verdict", "best_name", "best_score"),
    *("runner_up_name", "runner_up_score"),
)
_PROVENANCE = ("service", "engine", "model", "quality")


def write_json(result: Transcript | Diarization | Meeting) -> str:
    """The result as a JSON document. Raises ValueError when a number in it is not finite."""
    kind, body = _body(result)
    document = {"clearcast": SCHEMA_VERSION, "type": kind, **body}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def read_json(text: str | bytes) -> Transcript | Diarization | Meeting:
    """The result that `write_json` wrote. Raises FileFormatInvalid, naming the place of what is wrong."""
    values = parse_object(text, "file")
    version, kind = values.pop("clearcast", None), values.pop("type", None)
    if isinstance(version, bool) or not isinstance(version, int):
        raise FileFormatInvalid('Not a ClearCast file: it must start with "clearcast": 1.')
    if version != SCHEMA_VERSION:
        raise FileFormatInvalid(
            f"The file has schema version {version}; this program reads {SCHEMA_VERSION}."
        )
    if kind == "transcript":
        return _transcript(Fields(values, "", _TRANSCRIPT))
    if kind == "diarization":
        return _diarization(Fields(values, "", _DIARIZATION))
    if kind == "meeting":
        return _meeting(Fields(values, "", _MEETING))
    raise FileFormatInvalid(f'"type" is {kind!r}, and not "transcript", "diarization" or "meeting".')


def _body(result: Transcript | Diarization | Meeting) -> tuple[str, dict[str, Any]]:
    if isinstance(result, Transcript):
        return "transcript", _transcript_fields(result)
    if isinstance(result, Diarization):
        return "diarization", _diarization_fields(result)
    return "meeting", {
        "diarization": _diarization_fields(result.diarization),
        "speakers": [_plain(speaker, _SPEAKER) for speaker in result.speakers],
        "transcript": None if result.transcript is None else _transcript_fields(result.transcript),
        "warnings": list(result.warnings),
    }


def _transcript_fields(transcript: Transcript) -> dict[str, Any]:
    segments = []
    for segment in transcript.segments:
        words = [_plain(word, _WORD) for word in segment.words]
        segments.append(_plain(segment, _SEGMENT[:-1]) | {"words": words})
    return {
        **_plain(transcript, _TRANSCRIPT[:3]),
        "provenance": [_plain(item, _PROVENANCE) for item in transcript.provenance],
        "segments": segments,
    }


def _diarization_fields(diarization: Diarization) -> dict[str, Any]:
    return {
        **_plain(diarization, _DIARIZATION[:2]),
        "provenance": _plain(diarization.provenance, _PROVENANCE),
        "turns": [_plain(turn, _TURN) for turn in diarization.turns],
    }


def _plain(thing: object, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(thing, name) for name in names}
    # Engines may leave numpy's number types in; `float` makes JSON's of them.
    return {
        name: value if value is None or isinstance(value, str | bool) else round(float(value), _DECIMALS)
        for name, value in values.items()
    }


def _transcript(fields: Fields) -> Transcript:
    return Transcript(
        segments=tuple(_segment(item) for item in fields.objects("segments", _SEGMENT)),
        language=fields.text_or_none("language"),
        duration_s=fields.number("duration_s", 0.0),
        provenance=tuple(_provenance(item) for item in fields.objects("provenance", _PROVENANCE)),
        language_confidence=fields.number_or_none("language_confidence", 0.0, 1.0),
    )


def _segment(fields: Fields) -> Segment:
    start_s, end_s = _times(fields)
    return Segment(
        start_s,
        end_s,
        fields.text("text"),
        words=tuple(_word(item) for item in fields.objects("words", _WORD)),
        speaker=fields.text_or_none("speaker"),
        confidence=fields.number_or_none("confidence", 0.0, 1.0),
        no_speech_probability=fields.number_or_none("no_speech_probability", 0.0, 1.0),
    )


def _word(fields: Fields) -> Word:
    start_s, end_s = _times(fields)
    return Word(
        start_s,
        end_s,
        fields.text("text"),
        confidence=fields.number_or_none("confidence", 0.0, 1.0),
        speaker=fields.text_or_none("speaker"),
        joins_previous=fields.flag("joins_previous"),
    )


def _diarization(fields: Fields) -> Diarization:
    turns = fields.objects("turns", _TURN)
    return Diarization(
        turns=tuple(Turn(*_times(item), item.text("speaker")) for item in turns),
        duration_s=fields.number("duration_s", 0.0),
        provenance=_provenance(fields.object("provenance", _PROVENANCE)),
        overlap_marked=fields.flag("overlap_marked"),
    )


def _meeting(fields: Fields) -> Meeting:
    transcript = fields.object_or_none("transcript", _TRANSCRIPT)
    warnings = fields.items("warnings")
    for place, warning in warnings:
        if not isinstance(warning, str):
            fail(place, "must be text")
    return Meeting(
        diarization=_diarization(fields.object("diarization", _DIARIZATION)),
        speakers=tuple(_speaker(item) for item in fields.objects("speakers", _SPEAKER)),
        transcript=None if transcript is None else _transcript(transcript),
        warnings=tuple(warning for _, warning in warnings),
    )


def _speaker(fields: Fields) -> SpeakerIdentity:
    verdicts: dict[str, Verdict] = {name: name for name in get_args(Verdict)}
    verdict = fields.text("verdict")
    if verdict not in verdicts:
        fail(f"{fields.place}.verdict", f"is {verdict[:40]!r}, not one of {', '.join(verdicts)}")
    return SpeakerIdentity(
        label=fields.text("label"),
        speech_s=fields.number("speech_s", 0.0),
        verdict=verdicts[verdict],
        best_name=fields.text_or_none("best_name"),
        best_score=fields.number_or_none("best_score"),
        runner_up_name=fields.text_or_none("runner_up_name"),
        runner_up_score=fields.number_or_none("runner_up_score"),
    )


def _provenance(fields: Fields) -> Provenance:
    return Provenance(
        fields.text("service"), fields.text("engine"), fields.text("model"), fields.text_or_none("quality")
    )


def _times(fields: Fields) -> tuple[float, float]:
    start_s, end_s = fields.number("start_s", 0.0), fields.number("end_s", 0.0)
    if end_s < start_s:
        fail(f"{fields.place}.end_s", f"is {end_s:g}, before the start at {start_s:g}")
    return start_s, end_s
