"""Subtitle cues keep to their limits whatever the transcript is like."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from clearcast.speech.cues import GAP_MS, MAX_CUE_MS, MIN_CUE_MS, READING_CPS, Cue, plan_cues, spoken_by
from clearcast.speech.line_breaks import LINE_COLUMNS, columns
from clearcast.speech.text_direction import named_line
from clearcast.speech.transcript import Segment, Transcript, Word
from tests.speech.random_speech import random_transcript


def transcript(*segments: Segment, duration_s: float = 60.0) -> Transcript:
    return Transcript(segments, "en", duration_s, ())


def spoken(text: str, start_s: float = 0.0, word_s: float = 0.3, speaker: str | None = None) -> Segment:
    words = tuple(
        Word(start_s + index * word_s, start_s + (index + 1) * word_s, word)
        for index, word in enumerate(text.split())
    )
    return Segment(start_s, words[-1].end_s, text, words, speaker)


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


def shown(cue: Cue) -> str:
    return " ".join(cue.lines)


@pytest.mark.parametrize("names_in_text", [False, True])
def test_cues_keep_every_hard_limit_over_hundreds_of_wild_transcripts(names_in_text: bool) -> None:
    for seed in range(120):
        source = random_transcript(seed)
        cues = plan_cues(source, names_in_text)
        for cue in cues:
            assert 0 <= cue.start_ms < cue.end_ms <= source.duration_s * 1000, seed
            assert cue.end_ms - cue.start_ms <= MAX_CUE_MS, seed
            assert 1 <= len(cue.lines) <= 2, seed
            lines = list(cue.lines)
            if names_in_text and cue.speaker and cue.speaker_changes:
                lines[0] = named_line(spoken_by(cue.speaker), lines[0]).strip()
            assert all(columns(line) <= LINE_COLUMNS for line in lines), (seed, lines)
            assert all(len(line) <= 42 for line in lines), (seed, lines)
        for before, after in pairwise(cues):
            assert before.end_ms + GAP_MS <= after.start_ms, seed
            assert after.speaker_changes == (before.speaker != after.speaker), seed


def test_every_speakers_words_are_shown_exactly_once_and_in_order() -> None:
    for seed in range(120):
        source = random_transcript(seed)
        cues = plan_cues(source)
        for speaker in {segment.speaker for segment in source.segments}:
            said = "".join(segment.text for segment in source.segments if segment.speaker == speaker)
            seen = "".join(shown(cue) for cue in cues if cue.speaker == speaker)
            assert letters(seen) == letters(said), seed


def test_words_stay_whole_where_a_language_has_spaces() -> None:
    for seed in range(100):
        source = random_transcript(seed, calm=True)
        seen = {word for cue in plan_cues(source) for line in cue.lines for word in line.split()}
        said = [word for segment in source.segments for word in segment.text.split()]
        persian = {word for word in said if re.search("[\u0600-\u06ff]", word)}
        assert persian <= seen, seed


def test_a_cue_comes_with_its_first_word_when_speakers_take_turns() -> None:
    for seed in range(150):
        source = random_transcript(seed, calm=True)
        if not all(segment.words for segment in source.segments):
            continue
        words = [word for segment in source.segments for word in segment.words]
        spoken_by_letter = [word for word in words for _ in letters(word.text)]
        seen = 0
        for cue in plan_cues(source):
            word = spoken_by_letter[seen]
            assert word.start_s - MIN_CUE_MS / 1000 < cue.start_ms / 1000 < word.end_s + 0.4, seed
            seen += len(letters(shown(cue)))


def test_a_cue_stays_on_in_the_following_silence_until_it_can_be_read() -> None:
    said = "this is said much faster than anybody can read it"
    cues = plan_cues(transcript(spoken(said, word_s=0.1), spoken("later", 20.0)))
    assert cues[0].end_ms - cues[0].start_ms == round(len(said) * 1000 / READING_CPS)


def test_a_short_word_is_shown_for_five_sixths_of_a_second() -> None:
    (cue,) = plan_cues(transcript(spoken("Yes.", 3.0)))
    assert (cue.start_ms, cue.end_ms) == (3000, 3000 + MIN_CUE_MS)


def test_a_short_word_at_the_very_end_comes_early_instead_of_passing_the_end() -> None:
    (cue,) = plan_cues(transcript(spoken("Yes.", 9.8, word_s=0.2), duration_s=10.0))
    assert (cue.start_ms, cue.end_ms) == (10_000 - MIN_CUE_MS, 10_000)


def test_a_word_that_lasts_for_a_minute_is_shown_for_seven_seconds() -> None:
    (cue,) = plan_cues(transcript(spoken("Thanks", word_s=60.0)))
    assert cue.end_ms == MAX_CUE_MS


def test_cues_end_with_sentences_where_they_can() -> None:
    text = (
        "The first point is short and clear. The second takes a little longer to make. The third is last."
    )
    cues = plan_cues(transcript(spoken(text)))
    assert all(shown(cue).endswith(".") for cue in cues)


def test_a_long_pause_starts_a_new_cue_even_within_a_segment() -> None:
    words = (Word(0.0, 0.5, "one"), Word(0.5, 1.0, "two"), Word(2.2, 2.6, "three"), Word(2.6, 3.0, "four"))
    cues = plan_cues(transcript(Segment(0.0, 3.0, "one two three four", words)))
    assert [cue.lines for cue in cues] == [("one two",), ("three four",)]


def test_short_segments_of_one_speaker_share_a_cue() -> None:
    cues = plan_cues(transcript(spoken("I see,", 0.0), spoken("so we go.", 0.7)))
    assert [cue.lines for cue in cues] == [("I see, so we go.",)]


def test_a_change_of_speaker_starts_a_new_cue() -> None:
    cues = plan_cues(transcript(spoken("Hello.", 0.0, speaker="A"), spoken("Hi.", 0.4, speaker="B")))
    assert [(cue.speaker, cue.lines) for cue in cues] == [("A", ("Hello.",)), ("B", ("Hi.",))]


def test_lines_are_balanced_and_broken_after_punctuation() -> None:
    (cue,) = plan_cues(transcript(spoken("When the meeting is over, we can all go and have lunch.")))
    assert cue.lines == ("When the meeting is over,", "we can all go and have lunch.")


def test_an_interjection_into_anothers_words_neither_overlaps_nor_waits_long() -> None:
    long = spoken("I have been saying this for years and nobody has ever listened to me", 0.0, 0.4, "A")
    cues = plan_cues(transcript(long, spoken("Right.", 2.0, speaker="B")))
    interjection = next(cue for cue in cues if cue.speaker == "B")
    assert 2000 <= interjection.start_ms <= 3100
    assert letters("".join(shown(cue) for cue in cues if cue.speaker == "A")) == letters(long.text)


def test_japanese_breaks_without_spaces_but_not_before_a_full_stop_or_small_kana() -> None:
    text = "今日はとてもいい天気ですね。明日の会議は午後三時から始まりますので、資料を忘れずに持ってきて。"
    cues = plan_cues(transcript(Segment(0.0, 12.0, text)))
    lines = [line for cue in cues for line in cue.lines]
    assert "".join(lines) == text
    assert len(lines) >= 3
    assert not [line for line in lines if line[0] in "。、っょ」"]


def test_family_emoji_flags_and_marks_are_never_torn_apart() -> None:
    text = "👨‍👩‍👧‍👦" * 12 + "👍🏽" * 12 + "e\u0301" * 50
    lines = [line for cue in plan_cues(transcript(Segment(0.0, 20.0, text))) for line in cue.lines]
    assert "".join(lines) == text
    assert not [line for line in lines if line[0] in "\u200d\u0301\U0001f3fd" or line[-1] == "\u200d"]


def test_joined_words_stay_on_one_line() -> None:
    words = (Word(0.0, 0.4, "can"), Word(0.4, 0.6, "'t", joins_previous=True), Word(0.6, 1.0, "go"))
    (cue,) = plan_cues(transcript(Segment(0.0, 1.0, "can't go", words)))
    assert cue.lines == ("can't go",)


def test_text_that_differs_from_its_words_is_shown_as_the_text() -> None:
    (cue,) = plan_cues(transcript(Segment(0.0, 1.0, "Dr. Who", (Word(0.0, 1.0, "doctor"),))))
    assert cue.lines == ("Dr. Who",)


def test_no_break_spaces_hold_words_together() -> None:
    text = "Combien coûtent ces quatre grandes maisons\u00a0? Elles coûtent 300\u00a0000\u00a0euros"
    lines = [line for cue in plan_cues(transcript(Segment(0.0, 6.0, text))) for line in cue.lines]
    assert " ".join(lines) == text
    assert not [line for line in lines if line[0] in "?0"]


def test_more_text_than_the_recording_has_room_for_is_still_shown_whole() -> None:
    crowd = tuple(spoken(f"word{index}.", 0.0, 0.01, speaker=f"S{index}") for index in range(40))
    cues = plan_cues(transcript(*crowd, duration_s=2.0))
    assert len(cues) == 40
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    assert cues[-1].end_ms <= 2000


def test_silence_gives_no_cues() -> None:
    assert plan_cues(transcript()) == ()
    assert plan_cues(transcript(Segment(0.0, 1.0, "  \n "))) == ()


def test_names_are_shortened_where_they_would_push_the_words_out() -> None:
    assert spoken_by("Anna") == "Anna"
    assert columns(spoken_by("N" * 90)) <= LINE_COLUMNS // 2
