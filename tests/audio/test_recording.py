from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.errors import AudioUnrecognised, NotFound
from clearcast.settings import AudioSettings
from clearcast.testing.media import write_tone_wav, write_wav


@pytest.fixture
def working_copy(tmp_path: Path) -> Path:
    source = write_tone_wav(tmp_path / "source.wav", 2.0)
    return prepare_sync(source, tmp_path / "a name with spaces.wav", AudioSettings()).path


def test_windows_add_up_to_the_whole(working_copy: Path) -> None:
    with Recording.open(working_copy) as recording:
        windows = list(recording.windows(0.3))
        whole = recording.read()
    assert [start for start, _ in windows] == list(range(0, 32_000, 4800))
    assert np.array_equal(np.concatenate([samples for _, samples in windows]), whole)
    assert (whole.dtype, whole.shape) == (np.float32, (32_000,))


def test_ranges_past_the_ends_are_cut(working_copy: Path) -> None:
    with Recording.open(working_copy) as recording:
        assert len(recording.read(1.5, 9.0)) == 8000
        assert len(recording.read(-1.0, 0.5)) == 8000
        assert len(recording.read(5.0, 6.0)) == 0


def test_clip_leads_back_to_the_same_sound(working_copy: Path) -> None:
    with Recording.open(working_copy) as recording:
        clip = recording.clip(0.5, 1.0)
        with Recording.from_uri(clip.uri) as again:
            assert np.array_equal(again.read(clip.start_s, clip.end_s), recording.read(0.5, 1.0))


def test_sound_in_memory_reads_like_a_file(working_copy: Path) -> None:
    with Recording.open(working_copy) as recording:
        in_memory = Recording.from_array(recording.read())
        assert np.array_equal(in_memory.read(0.25, 0.75), recording.read(0.25, 0.75))
    assert in_memory.uri is None
    with pytest.raises(ValueError, match="no address"):
        in_memory.clip()


def test_other_files_and_addresses_are_refused(tmp_path: Path) -> None:
    stereo = write_wav(tmp_path / "a.wav", np.zeros((100, 2), np.int16), 16_000)
    with pytest.raises(AudioUnrecognised):
        Recording.open(stereo)
    with pytest.raises(NotFound):
        Recording.open(tmp_path / "gone.wav")
    with pytest.raises(NotFound, match="http"):
        Recording.from_uri("http://127.0.0.1/a.wav")
