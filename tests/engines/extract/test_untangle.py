"""Windows, levels and joins, with a model that takes two tones apart perfectly but at odd levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.recording import FloatAudio
from clearcast.engines.engine import EngineContext
from clearcast.engines.extract import sepformer as module
from clearcast.engines.extract._untangle import (
    CONTEXT_S,
    JOIN_S,
    WINDOW_S,
    SeparatingModel,
    levels_of,
    plan_windows,
)
from clearcast.engines.extract.sepformer import SepformerEngine, SepformerOptions
from clearcast.speech.extraction import Passage
from clearcast.speech.turns import Span
from tests.engines.extract.conftest import Preferring, order

MODEL_RATE_HZ = 8_000
WANTED_HZ, OTHER_HZ = 310.0, 1_470.0
SCALES = (0.003, 40.0)  # of the two streams that come out


def tone(frequency_hz: float, count: int, rate_hz: int) -> npt.NDArray[np.float64]:
    return np.sin(2 * np.pi * frequency_hz * np.arange(count) / rate_hz)


class TwoTones(SepformerEngine):
    """Knows the voices by their pitch: the wanted one is stream 0.

    Attributes:
        lengths: of all mixes it was given.
    """

    def __init__(self) -> None:
        super().__init__(SepformerOptions(), EngineContext(Path("nowhere")))
        self.lengths: list[int] = []

    def _load(self) -> None:
        """Nothing to load."""

    def _model(self) -> SeparatingModel:
        return SeparatingModel(MODEL_RATE_HZ, self._take_apart)

    def _take_apart(self, mix: FloatAudio) -> FloatSamples:
        self.lengths.append(len(mix))
        angles = 2 * np.pi * np.arange(len(mix))[:, None] / MODEL_RATE_HZ * np.array([WANTED_HZ, OTHER_HZ])
        basis = np.hstack([np.sin(angles), np.cos(angles)])
        shares = np.linalg.lstsq(basis, mix.astype(np.float64), rcond=None)[0]
        streams = [scale * basis[:, i::2] @ shares[i::2] for i, scale in enumerate(SCALES)]
        return np.stack(streams, axis=1).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("stream", [0, 1])
def test_the_voice_nearest_to_the_voiceprint_comes_out_at_its_level_and_place(
    extract: Any, rate_hz: int, stream: int
) -> None:
    count = 4 * rate_hz
    voices = [tone(WANTED_HZ, count, rate_hz), tone(OTHER_HZ, count, rate_hz)]
    places = [np.array([0.3, 0.1]), np.array([0.02, 0.4])]  # left, right
    samples = sum(np.outer(voice, place) for voice, place in zip(voices, places, strict=True))
    found, report = extract(
        TwoTones(), samples.astype(np.float32), rate_hz, order(crowded=[(1.5, 2.5)]), Preferring(stream)
    )
    within = slice(round(1.52 * rate_hz), round(2.48 * rate_hz))
    np.testing.assert_allclose(found[within], np.outer(voices[stream], places[stream])[within], atol=1e-3)
    (passage,) = report.passages
    assert (passage.how, passage.bandwidth_hz) == ("untangled", 4_000)
    assert passage.score == pytest.approx(0.8)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_where_stretches_touch_there_is_no_dip_and_no_bump(extract: Any, rate_hz: int) -> None:
    count = 5 * rate_hz
    # Nobody else, so that the fades of what is kept as it is let nothing else in.
    samples = (0.3 * tone(WANTED_HZ, count, rate_hz)).astype(np.float32)[:, None]
    touching = order(alone=[(0.0, 1.0), (4.0, 5.0)], crowded=[(1.0, 2.3), (2.3, 4.0)])
    found, report = extract(TwoTones(), samples, rate_hz, touching)
    assert [passage.how for passage in report.passages] == ["alone", "untangled", "untangled", "alone"]
    within = slice(round(0.011 * rate_hz), round(4.989 * rate_hz))
    np.testing.assert_allclose(found[within], samples[within], atol=1e-3)


def test_a_long_stretch_goes_through_in_windows_that_join_unheard(extract: Any) -> None:
    rate_hz, engine = 16_000, TwoTones()
    count = 30 * rate_hz
    wanted = 0.3 * tone(WANTED_HZ, count, rate_hz)
    samples = (wanted + 0.2 * tone(OTHER_HZ, count, rate_hz)).astype(np.float32)[:, None]
    embed = Preferring()
    found, report = extract(engine, samples, rate_hz, order(crowded=[(2.0, 27.0)]), embed)
    assert len(engine.lengths) == len(embed.heard) == 4
    assert max(engine.lengths) <= WINDOW_S * MODEL_RATE_HZ
    within = slice(round(2.02 * rate_hz), round(26.98 * rate_hz))
    np.testing.assert_allclose(found[within, 0], wanted[within], atol=1e-3)
    assert report.passages[0].score == pytest.approx(0.8)
    assert len(report.passages) == 1


def test_a_stretch_far_shorter_than_a_voiceprint_needs_is_heard_with_its_context(extract: Any) -> None:
    rate_hz, embed = 16_000, Preferring()
    count = 4 * rate_hz
    wanted = 0.3 * tone(WANTED_HZ, count, rate_hz)
    samples = (wanted + 0.2 * tone(OTHER_HZ, count, rate_hz)).astype(np.float32)[:, None]
    found, report = extract(TwoTones(), samples, rate_hz, order(crowded=[(2.0, 2.1)]), embed)
    within = slice(round(2.02 * rate_hz), round(2.08 * rate_hz))
    np.testing.assert_allclose(found[within, 0], wanted[within], atol=1e-3)
    assert report.passages[0].how == "untangled"
    assert [len(utterance) for utterance in embed.heard[0]] == [round(2.1 * rate_hz)] * 2


def test_a_recording_too_short_for_a_voiceprint_is_left_as_it_is(extract: Any) -> None:
    samples = (0.1 * np.random.default_rng(0).standard_normal((5_000, 1))).astype(np.float32)
    found, report = extract(TwoTones(), samples, 16_000, order(crowded=[(0.0, 0.3)]))
    assert report.passages == (Passage(0.0, 0.3, "crowded"),)
    np.testing.assert_array_equal(found[200:4_600], samples[200:4_600])


def test_stretches_beyond_the_end_are_cut_to_the_recording(extract: Any) -> None:
    samples = (0.3 * tone(WANTED_HZ, 16_000, 16_000)).astype(np.float32)[:, None]
    found, report = extract(TwoTones(), samples, 16_000, order(crowded=[(0.5, 1.2), (1.3, 1.5)]))
    assert len(found) == 16_000
    np.testing.assert_allclose(found[8_400:-32], samples[8_400:-32], atol=1e-3)
    assert [passage.start_s for passage in report.passages] == [0.5]


def test_the_size_of_blocks_changes_nothing(extract: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rate_hz = 8_000
    samples = (0.1 * np.random.default_rng(1).standard_normal((16 * rate_hz, 2))).astype(np.float32)
    wanted = order(alone=[(0.5, 1.0)], crowded=[(1.0, 1.3), (1.305, 1.4), (2.0, 13.0)])
    whole, before = extract(TwoTones(), samples, rate_hz, wanted)
    monkeypatch.setattr(module, "_BLOCK_SAMPLES", 997)
    parts, after = extract(TwoTones(), samples, rate_hz, wanted)
    np.testing.assert_array_equal(parts, whole)
    assert after.passages == before.passages


def test_below_the_models_rate_the_bandwidth_is_the_recordings(extract: Any) -> None:
    samples = (0.3 * tone(WANTED_HZ, 12_000, 6_000)).astype(np.float32)[:, None]
    _, report = extract(TwoTones(), samples, 6_000, order(crowded=[(0.5, 1.0)]))
    assert report.passages[0].bandwidth_hz == 3_000


def test_levels_are_never_negative_and_of_nothing_are_nothing() -> None:
    streams = np.random.default_rng(0).standard_normal((1_000, 2)).astype(np.float32)
    sound = streams @ np.array([[0.5, -1.0], [2.0, 3.0]], np.float32)
    levels = levels_of(streams, sound)
    np.testing.assert_allclose(levels[0], [0.5, 2.0], atol=1e-5)
    assert levels[1].min() == 0.0
    assert not levels_of(np.zeros_like(streams), sound).any()


@given(
    st.lists(st.floats(0.0, 60.0), min_size=2, max_size=8, unique=True).map(sorted),
    st.sampled_from([8_000, 44_100]),
    st.floats(0.0, 70.0),
)
def test_windows_cover_the_stretches_with_context(places: list[float], rate_hz: int, end_s: float) -> None:
    stretches = [Span(*edges) for edges in zip(places[::2], places[1::2], strict=False)]
    length = round(end_s * rate_hz)
    windows = plan_windows(stretches, rate_hz, length)
    context = round(CONTEXT_S * rate_hz)
    covered = np.zeros(length + 1, int)
    for window in windows:
        assert 0 <= window.start <= window.first < window.last <= window.stop <= length
        assert window.stop - window.start <= WINDOW_S * rate_hz + 2
        assert window.first - window.start == min(context, window.first)
        assert window.stop - window.last == min(context, length - window.last)
        assert not window.joins_after or window.last - window.first > 2 * JOIN_S * rate_hz
        covered[window.first : window.last] += 1
    expected = np.zeros(length + 1, int)
    for stretch in stretches:
        expected[round(stretch.start_s * rate_hz) : min(round(stretch.end_s * rate_hz), length)] += 1
    np.testing.assert_array_equal(covered, expected)
