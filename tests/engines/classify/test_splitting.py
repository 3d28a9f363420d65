"""Where words begin and end, in quiet and in noise, from files and from streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.classify._features import mel_frames
from clearcast.engines.classify._splitting import Boundary, SplitRules, WordSplitter
from clearcast.engines.classify._stream import levels_dbfs
from tests.engines.classify.melodies import sentence

RULES = SplitRules(min_silence_s=0.2, silence_db=None, min_word_s=0.06, window_s=1.0, settle_s=0.3)
WORDS = "up down high up down high"


def split(samples: FloatAudio, rules: SplitRules = RULES, at_once: int = 10_000) -> list[Boundary]:
    frames = mel_frames(samples)
    levels = levels_dbfs(samples, len(frames))
    splitter, found = WordSplitter(rules), []
    for start in range(0, len(frames), at_once):
        found += splitter.push(frames[start : start + at_once], levels[start : start + at_once])
    return found + splitter.finish()


def final(samples: FloatAudio, rules: SplitRules = RULES) -> list[Boundary]:
    return [boundary for boundary in split(samples, rules) if boundary.is_final]


def noisy(samples: FloatAudio, noise_dbfs: float) -> FloatAudio:
    noise = np.random.default_rng(3).standard_normal(len(samples), np.float32)
    return samples + noise * np.float32(10 ** (noise_dbfs / 20))


@pytest.mark.parametrize("noise_dbfs", [-120.0, -50.0, -42.0])
def test_words_are_found_where_they_are_at_every_level_of_noise(noise_dbfs: float) -> None:
    quiet = final(sentence(WORDS))
    assert len(quiet) == 6
    found = final(noisy(sentence(WORDS), noise_dbfs))
    assert len(found) == 6
    for one, other in zip(found, quiet, strict=True):
        assert abs(one.start - other.start) <= 10 and abs(one.end - other.end) <= 10


def test_a_fixed_level_finds_words_in_quiet_and_fails_in_noise() -> None:
    fixed = replace(RULES, silence_db=-40.0)
    assert len(final(sentence(WORDS), fixed)) == 6
    assert len(final(noisy(sentence(WORDS), -38.0), fixed)) != 6


def test_frames_one_by_one_give_the_same_as_all_at_once() -> None:
    samples = noisy(sentence(WORDS), -40.0)
    assert split(samples, at_once=1) == split(samples) == split(samples, at_once=7)


def test_a_short_pause_ends_no_word() -> None:
    samples = sentence("up down", pause_s=0.15)
    assert len(final(samples)) == 1
    assert len(final(samples, replace(RULES, min_silence_s=0.08))) == 2


def test_a_word_that_seems_over_is_told_before_it_is_certain() -> None:
    found = split(sentence("up"))
    assert [boundary.is_final for boundary in found] == [False, True]
    assert found[0].start == found[1].start


def test_a_word_that_goes_on_after_all_is_told_anew() -> None:
    found = split(sentence("up down", pause_s=0.15))
    assert [boundary.is_final for boundary in found] == [False, False, True]
    assert found[0].end < found[1].end == found[2].end


def test_long_stretches_are_cut_at_their_quietest() -> None:
    rng = np.random.default_rng(0)
    samples = 0.001 * rng.standard_normal(6 * SAMPLE_RATE_HZ, np.float32)
    talk = slice(SAMPLE_RATE_HZ, 4 * SAMPLE_RATE_HZ)
    samples[talk] += 0.1 * rng.standard_normal(3 * SAMPLE_RATE_HZ, np.float32)
    dip = round(1.7 * SAMPLE_RATE_HZ)
    samples[dip : dip + 800] *= 0.05
    found = final(samples)
    assert len(found) >= 3
    assert all(boundary.end - boundary.start <= 100 for boundary in found)
    assert abs(found[0].end - 170) <= 6
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]


def test_clicks_and_the_flicker_of_silence_are_no_words() -> None:
    samples = np.zeros(3 * SAMPLE_RATE_HZ, np.float32)
    samples[::7] = 2.0**-15
    assert final(samples) == []
    samples[20_000:20_160] = 0.5
    assert final(samples) == []


def test_nothing_comes_of_nothing() -> None:
    assert split(np.zeros(0, np.float32)) == []
    assert split(np.zeros(500, np.float32)) == []
