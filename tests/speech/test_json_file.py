"""JSON files: everything comes back, and nothing wrong gets in."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from clearcast.errors import FileFormatInvalid
from clearcast.speech.json_file import read_json, write_json
from clearcast.speech.legacy_shapes import legacy_diarization, legacy_segments
from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.speech.turns import Diarization, Turn
from tests.speech.random_speech import random_transcript, random_turns

DIARIZATION = Diarization(
    turns=(Turn(0.1, 2.0, "Anna Ω"), Turn(1.5, 3.25, "SPEAKER_01")),
    duration_s=12.3456,
    provenance=Provenance("diarize", "pyannote", "community-1"),
    overlap_marked=True,
)
TRANSCRIPT = Transcript(
    segments=(
        Segment(
            0.1,
            2.0,
            "نرم‌افزار ۱۲۳",
            words=(
                Word(0.1, 1.0, "نرم‌افزار", 0.91, "Anna Ω"),
                Word(1.0, 2.0, "۱۲۳", None, None, joins_previous=True),
            ),
            speaker="Anna Ω",
            confidence=0.9,
            no_speech_probability=0.01,
        ),
        Segment(2.0, 3.0, 'a "quote"\n\\ 👩‍👩‍👧'),
    ),
    language="fa",
    duration_s=12.3456,
    provenance=(
        Provenance("diarize", "vbx", "resemblyzer"),
        Provenance("transcribe", "pocketsphinx", "en-us", "rough"),
    ),
    language_confidence=0.987654,
)
MEETING = Meeting(
    diarization=DIARIZATION,
    speakers=(
        SpeakerIdentity("SPEAKER_00", 1.9, "identified", "Anna Ω", 0.83, "Reza", 0.41),
        SpeakerIdentity("SPEAKER_01", 1.75, "too_short"),
    ),
    transcript=TRANSCRIPT,
    warnings=("The file is cut off after 12.3 s.",),
)


@pytest.mark.parametrize("result", [TRANSCRIPT, DIARIZATION, MEETING, Meeting(DIARIZATION, (), None)])
def test_every_field_of_every_result_comes_back(result: Transcript | Diarization | Meeting) -> None:
    assert read_json(write_json(result)) == result
    assert read_json(write_json(result).encode()) == result


def test_writing_what_was_read_gives_the_same_bytes_for_any_times() -> None:
    for seed in range(60):
        transcript = random_transcript(seed)
        turns = tuple(random_turns(random.Random(seed), transcript.duration_s))
        meeting = Meeting(Diarization(turns, transcript.duration_s, DIARIZATION.provenance), (), transcript)
        written = write_json(meeting)
        read = read_json(written)
        assert isinstance(read, Meeting)
        assert write_json(read) == written
        assert read.transcript is not None
        assert read.transcript.text == transcript.text
        gaps_s = [
            abs(a.start_s - b.start_s)
            for a, b in zip(read.transcript.segments, transcript.segments, strict=True)
        ]
        assert max(gaps_s) <= 1e-6


def test_text_is_not_escaped_and_keys_keep_their_order() -> None:
    written = write_json(TRANSCRIPT)
    assert "نرم‌افزار ۱۲۳" in written
    assert list(json.loads(written)) == [
        *("clearcast", "type", "language", "language_confidence", "duration_s", "provenance", "segments")
    ]


def test_noise_of_binary_fractions_is_not_written() -> None:
    written = write_json(Transcript((Segment(0.1 + 0.2, 12.340000000000002, "a"),), None, 20.0, ()))
    assert '"start_s": 0.3,' in written
    assert '"end_s": 12.34,' in written


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    odd: Any = np.float32(0.5)
    written = write_json(Transcript((Segment(odd, np.float64(1.5), "a", confidence=odd),), None, odd, ()))
    assert json.loads(written)["segments"][0]["confidence"] == 0.5


def test_a_number_that_is_none_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(Transcript((Segment(0.0, 1.0, "a", confidence=float("nan")),), None, 1.0, ()))


def _changed(change: dict[str, Any]) -> str:
    """The meeting's document with a value put at each place, such as "speakers/0/verdict"."""
    document = json.loads(write_json(MEETING))
    for place, value in change.items():
        *path, last = place.split("/")
        target = document
        for step in path:
            target = target[int(step)] if step.isdigit() else target[step]
        if value is KeyError:
            del target[last]
        else:
            target[int(last) if last.isdigit() else last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"clearcast": KeyError}, '"clearcast": 1'),
        ({"clearcast": 2}, "schema version 2"),
        ({"clearcast": True}, '"clearcast": 1'),
        ({"type": "song"}, "'song'"),
        ({"warnings": KeyError}, "warnings is missing"),
        ({"warnings/0": 5}, r"warnings\[0\] must be text"),
        ({"surprise": 1}, "surprise is not a field"),
        ({"diarization/turns": {}}, "diarization.turns must be a list, not an object"),
        ({"diarization/turns/1": 5}, r"diarization.turns\[1\] must be an object, not a number"),
        (
            {"diarization/turns/1/start_s": "0"},
            r"diarization.turns\[1\].start_s must be a number, not text",
        ),
        ({"diarization/turns/1/start_s": -1}, r"turns\[1\].start_s is -1"),
        ({"diarization/turns/1/end_s": 1.0}, r"turns\[1\].end_s is 1, before the start at 1.5"),
        ({"diarization/turns/0/speaker": None}, r"turns\[0\].speaker must be text, not null"),
        ({"diarization/overlap_marked": 1}, "overlap_marked must be true or false"),
        ({"diarization/duration_s": True}, "duration_s must be a number, not true or false"),
        ({"speakers/0/verdict": "guilty"}, r"speakers\[0\].verdict is 'guilty'"),
        ({"transcript/segments/0/words/1/confidence": 1.5}, r"segments\[0\].words\[1\].confidence is 1.5"),
        ({"transcript/segments/0/text": "\ud800"}, r"segments\[0\].text holds half a surrogate"),
        ({"transcript/provenance/0/engine": KeyError}, r"provenance\[0\].engine is missing"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(change: dict[str, Any], told: str) -> None:
    with pytest.raises(FileFormatInvalid, match=told):
        read_json(_changed(change))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1, column 1"),
        (b"[]", "must hold a JSON object, not a list"),
        (b'{"clearcast": 1,}', "line 1"),
        (b'{"clearcast": 1, "clearcast": 1}', "'clearcast' twice"),
        (b'{"clearcast": NaN}', "NaN"),
        (b'{"clearcast": 1, "type": "diarization", "duration_s": 1e999, "turns": []}', "duration_s is inf"),
        (b'{"a": ' + b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b"\x89PNG\r\n", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(FileFormatInvalid, match=told):
        read_json(content)


def test_fields_that_may_be_null_may_be_left_out() -> None:
    read = read_json(
        '\ufeff{"clearcast": 1, "type": "transcript", "duration_s": 2, "provenance": [],'
        ' "segments": [{"start_s": 0, "end_s": 1, "text": "hi", "words": []}]}'
    )
    assert read == Transcript((Segment(0.0, 1.0, "hi"),), None, 2.0, ())


def test_legacy_segments_have_the_four_old_keys_and_milliseconds() -> None:
    assert legacy_segments(MEETING) == [
        {"start": 0.1, "end": 2.0, "speaker": "Anna Ω", "text": "نرم‌افزار ۱۲۳"},
        {"start": 2.0, "end": 3.0, "speaker": "unknown", "text": 'a "quote"\n\\ 👩‍👩‍👧'},
    ]


def test_legacy_segments_of_a_meeting_without_text_are_its_turns() -> None:
    meeting = Meeting(DIARIZATION, (), None)
    assert legacy_segments(meeting)[1] == {"start": 1.5, "end": 3.25, "speaker": "SPEAKER_01", "text": ""}


def test_legacy_diarization_lists_turns_and_each_speakers_own() -> None:
    turns = (Turn(0.0, 1.00049, "SPEAKER_00"), Turn(1.5, 2.0, "SPEAKER_01"), Turn(3.0, 4.0, "SPEAKER_00"))
    assert legacy_diarization(Diarization(turns, 5.0, DIARIZATION.provenance)) == {
        "segments": [
            {"start": 0.0, "end": 1.0, "speaker": "SPEAKER_00"},
            {"start": 1.5, "end": 2.0, "speaker": "SPEAKER_01"},
            {"start": 3.0, "end": 4.0, "speaker": "SPEAKER_00"},
        ],
        "speakers": {
            "SPEAKER_00": [{"start": 0.0, "end": 1.0}, {"start": 3.0, "end": 4.0}],
            "SPEAKER_01": [{"start": 1.5, "end": 2.0}],
        },
    }
