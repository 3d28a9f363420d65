"""Words get the speaker whose turn they fall into."""

from __future__ import annotations

import random

import pytest

from clearcast.speech.align import assign_speakers, rename_speakers
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word, join_words
from clearcast.speech.turns import Diarization, Turn
from tests.speech.random_speech import random_transcript, random_turns


def words(*timed: tuple[float, float, str]) -> tuple[Word, ...]:
    return tuple(Word(start_s, end_s, text, 0.5) for start_s, end_s, text in timed)


def transcript(*segments: Segment) -> Transcript:
    return Transcript(segments, "en", 100.0, ())


def sentence(*timed: tuple[float, float, str], text: str | None = None) -> Segment:
    made = words(*timed)
    return Segment(made[0].start_s, made[-1].end_s, text or join_words(made), made, confidence=0.9)


def said_by(result: Transcript) -> list[tuple[str | None, str]]:
    return [(segment.speaker, segment.text) for segment in result.segments]


def test_a_segment_is_split_where_the_speaker_changes_and_keeps_its_word_times() -> None:
    source = sentence((0.0, 0.5, "are"), (0.5, 1.0, "you"), (1.0, 1.5, "here?"), (2.0, 2.4, "Yes."))
    result = assign_speakers(transcript(source), [Turn(0.0, 1.6, "A"), Turn(1.9, 2.5, "B")])
    assert said_by(result) == [("A", "are you here?"), ("B", "Yes.")]
    first, second = result.segments
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (0.0, 1.5, 2.0, 2.4)
    assert [word.start_s for word in second.words] == [2.0]
    assert all(word.speaker == segment.speaker for segment in result.segments for word in segment.words)
    assert first.confidence == pytest.approx(0.5)


def test_a_segment_of_one_speaker_keeps_its_text_exactly() -> None:
    source = sentence((0.0, 0.5, "نرم‌افزار"), (0.5, 1.0, "خوب"), text="  نرم‌افزار  خوب ")
    (segment,) = assign_speakers(transcript(source), [Turn(0.0, 1.0, "A")]).segments
    assert (segment.text, segment.speaker, segment.confidence) == ("  نرم‌افزار  خوب ", "A", 0.9)


def test_a_word_across_an_edge_goes_by_its_middle() -> None:
    turns = [Turn(0.0, 1.0, "A"), Turn(1.0, 3.0, "B")]
    early = sentence((0.0, 0.5, "one"), (0.5, 1.4, "two"), (1.5, 2.0, "three"), (2.0, 2.5, "four"))
    late = sentence((0.0, 0.5, "one"), (0.5, 1.6, "two"), (1.6, 2.0, "three"), (2.0, 2.5, "four"))
    assert said_by(assign_speakers(transcript(early), turns))[0] == ("A", "one two")
    assert said_by(assign_speakers(transcript(late), turns))[0] == ("A", "one")


def test_a_jittering_edge_does_not_flip_a_single_word() -> None:
    source = sentence((0.0, 0.5, "a"), (0.5, 1.0, "b"), (1.0, 1.5, "c"), (1.5, 2.0, "d"))
    turns = [Turn(0.0, 1.2, "A"), Turn(1.15, 1.5, "B"), Turn(1.5, 2.0, "A")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("A", "a b c d")]


def test_a_real_answer_of_one_word_between_anothers_words_stays() -> None:
    source = sentence((0.0, 0.9, "right?"), (1.0, 1.4, "Yes."), (1.5, 2.0, "Good."))
    turns = [Turn(0.0, 0.95, "A"), Turn(0.95, 1.45, "B"), Turn(1.45, 2.0, "A")]
    assert said_by(assign_speakers(transcript(source), turns)) == [
        ("A", "right?"),
        ("B", "Yes."),
        ("A", "Good."),
    ]


def test_where_both_talk_the_larger_share_wins_and_a_tie_goes_on_with_the_same_speaker() -> None:
    source = sentence((0.0, 1.0, "one"), (1.0, 2.0, "two"), (2.0, 3.0, "three"), (3.0, 4.0, "four"))
    turns = [Turn(0.0, 2.4, "A"), Turn(1.0, 4.0, "B")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("A", "one two"), ("B", "three four")]


def test_a_word_in_no_turn_goes_to_the_nearest_within_half_a_second() -> None:
    source = sentence((0.0, 1.0, "one"), (1.3, 1.5, "late"), (2.6, 2.8, "early"), (3.0, 4.0, "two"))
    turns = [Turn(0.0, 1.0, "A"), Turn(3.0, 4.0, "B")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("A", "one late"), ("B", "early two")]


def test_a_word_far_from_every_turn_goes_with_its_nearest_neighbour() -> None:
    source = sentence((0.0, 1.0, "one"), (5.0, 5.2, "lost"), (6.0, 6.2, "found"), (7.0, 8.0, "two"))
    turns = [Turn(0.0, 1.0, "A"), Turn(7.0, 8.0, "B")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("A", "one"), ("B", "lost found two")]


def test_a_segment_far_from_every_turn_gets_the_nearest_speaker() -> None:
    source = sentence((50.0, 51.0, "alone"))
    turns = [Turn(0.0, 1.0, "A"), Turn(70.0, 71.0, "B")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("B", "alone")]


def test_a_segment_without_words_gets_the_speaker_of_most_of_its_time_and_keeps_its_text() -> None:
    source = Segment(0.0, 10.0, " all  of it ")
    turns = [Turn(0.0, 3.0, "A"), Turn(3.0, 6.5, "B"), Turn(7.0, 9.0, "A")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("A", " all  of it ")]


def test_words_without_length_belong_where_they_stand() -> None:
    source = sentence((1.0, 1.0, "one"), (3.0, 3.0, "two"))
    turns = [Turn(0.0, 2.0, "A"), Turn(2.0, 4.0, "B")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("A", "one"), ("B", "two")]


def test_marks_and_clitics_go_with_the_word_they_are_written_onto() -> None:
    made = (
        Word(0.0, 1.0, "can"),
        Word(1.0, 1.2, "'t", joins_previous=True),
        Word(1.2, 1.3, "!", joins_previous=True),
        Word(1.3, 2.0, "Sure"),
    )
    source = Segment(0.0, 2.0, "can't! Sure", made)
    turns = [Turn(0.0, 1.0, "A"), Turn(1.0, 2.0, "B")]
    assert said_by(assign_speakers(transcript(source), turns)) == [("A", "can't!"), ("B", "Sure")]


def test_japanese_is_split_between_characters() -> None:
    made = tuple(Word(i * 0.5, i * 0.5 + 0.5, c, None, None, i > 0) for i, c in enumerate("はい。そう"))
    turns = [Turn(0.0, 1.1, "A"), Turn(1.4, 3.0, "B")]
    assert said_by(assign_speakers(transcript(Segment(0.0, 2.5, "はい。そう", made)), turns)) == [
        ("A", "はい。"),
        ("B", "そう"),
    ]


def test_without_turns_nothing_changes() -> None:
    source = transcript(sentence((0.0, 1.0, "one")))
    assert assign_speakers(source, []) == source


def test_no_word_is_lost_or_changed_by_any_turns() -> None:
    for seed in range(200):
        source = random_transcript(seed)
        turns = random_turns(random.Random(seed), source.duration_s)
        result = assign_speakers(source, turns)
        labels = {turn.speaker for turn in turns}
        before = sorted(
            (w.start_s, w.end_s, w.text, w.confidence or 0) for s in source.segments for w in s.words
        )
        after = sorted(
            (w.start_s, w.end_s, w.text, w.confidence or 0) for s in result.segments for w in s.words
        )
        assert after == before, seed
        assert all(segment.speaker in labels for segment in result.segments), seed
        assert [s.start_s for s in result.segments] == sorted(s.start_s for s in result.segments), seed
        assert "".join(sorted(result.text.replace(" ", ""))) == "".join(
            sorted(source.text.replace(" ", ""))
        )


def test_speakers_are_renamed_everywhere_and_unnamed_labels_stay() -> None:
    source = sentence((0.0, 0.5, "a"), (1.0, 1.5, "b"))
    labelled = assign_speakers(transcript(source), [Turn(0.0, 0.6, "S0"), Turn(0.9, 1.6, "S1")])
    renamed = rename_speakers(labelled, {"S0": "Anna"})
    assert said_by(renamed) == [("Anna", "a"), ("S1", "b")]
    assert [word.speaker for segment in renamed.segments for word in segment.words] == ["Anna", "S1"]
    diarization = Diarization(
        (Turn(0.0, 1.0, "S0"), Turn(1.0, 2.0, "S1")), 2.0, Provenance("diarize", "vbx", "x")
    )
    assert rename_speakers(diarization, {"S0": "Anna"}).speakers == ("Anna", "S1")
    untouched = transcript(Segment(0.0, 1.0, "nobody"))
    assert rename_speakers(untouched, {"S0": "Anna"}) == untouched
