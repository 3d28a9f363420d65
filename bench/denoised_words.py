"""Whether taking noise away helps recognition: word errors of the rough engine on noisy speech, as it is
and after RNNoise. Other engines may tell another tale: those trained on noisy speech often lose by it.

The transcribed clips get the noise of the shared noisy set, each at a stated ratio.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from bench._shared import shared_audio
from bench.row import Row
from bench.transcription import Clip, clips, judge, our_sphinx
from clearcast.audio.recording import FloatAudio
from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine

SNRS_DB = (5.0, 15.0)
_RATE_HZ = 16_000


def rows() -> Iterator[Row]:
    folder = shared_audio()
    if folder is None:
        return
    heard, noises = clips(), _noises(folder)
    transcribe = our_sphinx()
    clean, _ = judge(transcribe, heard)
    for snr_db in SNRS_DB:
        noisy = [
            Clip(_mixed(clip.samples, noises[index % len(noises)], snr_db), clip.text)
            for index, clip in enumerate(heard)
        ]
        denoised = [Clip(_denoised(clip.samples), clip.text) for clip in noisy]
        as_it_is, _ = judge(transcribe, noisy)
        after, _ = judge(transcribe, denoised)
        case = f"pocketsphinx, {len(heard)} clips, {snr_db:g} dB (clean: {clean.rate:.2f})"
        ratio = after.rate / as_it_is.rate
        yield Row("denoised words", case, "WER after RNNoise", after.rate, "", as_it_is.rate, ratio)


def _noises(folder: Path) -> list[FloatAudio]:
    """What the noisy recordings have beside the clean ones."""
    found = []
    for item in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["items"]:
        if item["task"] == "denoise":
            noisy, rate_hz = soundfile.read(folder / item["file"], dtype="float32")
            clean, _ = soundfile.read(folder / item["truth"]["clean"], dtype="float32")
            assert rate_hz == _RATE_HZ
            found.append(noisy - clean)
    return found


def _mixed(speech: FloatAudio, noise: FloatAudio, snr_db: float) -> FloatAudio:
    noise = np.resize(noise, len(speech))
    gain = np.sqrt(np.mean(speech**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    mixed = speech + np.float32(gain) * noise
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())), np.float32)


def _denoised(noisy: FloatAudio) -> FloatAudio:
    engine = make_engine(DenoiseEngine, "rnnoise", {}, EngineContext(Path("nowhere")))
    with engine.open_stream(_RATE_HZ, 1) as stream:
        parts = [stream.push(noisy[:, np.newaxis]), stream.flush()]
    return np.concatenate(parts)[:, 0]
