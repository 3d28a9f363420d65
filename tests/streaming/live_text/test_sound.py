"""PCM in pieces of any size is the same sound, and what lies on disk stays little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.errors import OptionInvalid
from streaming.live_text import sound
from streaming.live_text.sound import PcmReader, SoundTrail


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_pieces_of_any_size_give_the_same_sound(rate_hz: int) -> None:
    random = np.random.default_rng(7)
    pcm = (3000 * np.sin(np.arange(rate_hz) * 2 * np.pi * 440 / rate_hz)).astype("<i2").tobytes()
    whole = PcmReader(rate_hz).push(pcm)
    reader, at, parts = PcmReader(rate_hz), 0, []
    while at < len(pcm):
        size = int(random.integers(1, 4001))
        parts.append(reader.push(pcm[at : at + size]))
        at += size
    pieces = np.concatenate(parts)
    assert len(whole) > 0.98 * SAMPLE_RATE_HZ
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [0, 7_999, 48_001])
def test_a_rate_that_is_none_is_refused(rate_hz: int) -> None:
    with pytest.raises(OptionInvalid):
        PcmReader(rate_hz)


def test_a_clip_is_read_while_the_sound_goes_on(tmp_path: Path) -> None:
    trail = SoundTrail(tmp_path)
    trail.append(np.full(SAMPLE_RATE_HZ, 0.25, np.float32))
    clip, zero_s = trail.clip(4_000, 12_000)
    trail.append(np.zeros(100, np.float32))
    with Recording.from_uri(clip.uri) as recording:
        heard = recording.read(clip.start_s, clip.end_s)
    assert zero_s == 0
    assert len(heard) == 8_000
    np.testing.assert_allclose(heard, 0.25)
    trail.close()
    assert not list(tmp_path.iterdir())


def test_old_sound_goes_and_new_clips_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "_FILE_S", 1.0)
    trail = SoundTrail(tmp_path)
    ramp = np.arange(5 * SAMPLE_RATE_HZ, dtype=np.float32) / (5 * SAMPLE_RATE_HZ)
    for at in range(0, len(ramp), 1600):
        trail.append(ramp[at : at + 1600])
        trail.forget(at + 1600 - 4_000)
        assert len(list(tmp_path.iterdir())) == 1
        assert next(tmp_path.iterdir()).stat().st_size < 2 * SAMPLE_RATE_HZ * 2
    clip, zero_s = trail.clip(78_000, 79_000)
    with Recording.from_uri(clip.uri) as recording:
        heard = recording.read(clip.start_s, clip.end_s)
    np.testing.assert_allclose(heard, ramp[78_000:79_000], atol=1e-4)
    assert round((zero_s + clip.start_s) * SAMPLE_RATE_HZ) == 78_000
    trail.close()
