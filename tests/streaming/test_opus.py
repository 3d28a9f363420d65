from __future__ import annotations

import numpy as np
import pytest

from clearcast.errors import ModelMissing, OpusRefused
from clearcast.testing.media import speech_like
from streaming import opus
from streaming.opus import (
    SAMPLE_RATE_HZ,
    Decoder,
    Encoder,
    EncoderOptions,
    Sound,
    packet_samples,
)


def speech(seconds: float = 4.0) -> Sound:
    return np.asarray(speech_like(seconds, SAMPLE_RATE_HZ), np.float32).reshape(-1, 1)


def packets_of(sound: Sound, options: EncoderOptions) -> list[bytes]:
    size = options.frame_samples
    with Encoder(options) as encoder:
        return [encoder.encode(sound[at : at + size]) for at in range(0, len(sound) - size + 1, size)]


def snr_db(reference: Sound, other: Sound) -> float:
    return float(10 * np.log10(np.sum(reference**2) / np.sum((reference - other) ** 2)))


@pytest.mark.parametrize("frame_ms", [10, 20])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_comes_back_late_by_the_look_ahead(frame_ms: int, channels: int) -> None:
    options = EncoderOptions(channels, frame_ms, 128_000, application="music")  # type: ignore[arg-type]
    sound = np.repeat(speech(1.0), channels, axis=1)
    with Encoder(options) as encoder:
        late = encoder.lookahead_samples
    packets = packets_of(sound, options)
    assert {packet_samples(packet) for packet in packets} == {48 * frame_ms}
    with Decoder(channels) as decoder:
        decoded = np.concatenate([decoder.decode(packet) for packet in packets])
    assert decoded.shape == (len(packets) * options.frame_samples, channels)
    assert snr_db(sound[: len(decoded) - late], decoded[late:]) > 10


def test_a_lost_packet_is_recovered_better_than_concealed() -> None:
    packets = packets_of(speech(), EncoderOptions(bitrate_bps=32_000))
    lost = np.random.default_rng(5).random(len(packets)) < 0.1
    lost[1:][lost[:-1]] = False  # single losses: what FEC is for
    lost[[0, -1]] = False
    errors = {}
    with Decoder() as decoder:
        whole = np.concatenate([decoder.decode(packet) for packet in packets])
    for way in ("concealed", "recovered"):
        with Decoder() as decoder:
            parts = []
            for index, packet in enumerate(packets):
                if not lost[index]:
                    parts.append(decoder.decode(packet))
                elif way == "recovered":
                    parts.append(decoder.recover(packets[index + 1], 960))
                else:
                    parts.append(decoder.conceal(960))
        sound = np.concatenate(parts)
        assert len(sound) == len(whole)
        errors[way] = snr_db(whole, sound)
    assert errors["recovered"] > errors["concealed"] + 2


def test_silence_with_dtx_costs_next_to_nothing() -> None:
    silence = np.random.default_rng(0).normal(0, 3e-5, (3 * SAMPLE_RATE_HZ, 1)).astype(np.float32)
    sizes = [len(packet) for packet in packets_of(silence, EncoderOptions(bitrate_bps=32_000, dtx=True))]
    assert sum(size <= 2 for size in sizes[50:]) > 0.9 * len(sizes[50:])


def test_what_is_no_opus_is_refused() -> None:
    with Decoder() as decoder:
        for packet in (b"", b"\xff\xff\xff"):
            with pytest.raises(OpusRefused):
                decoder.decode(packet)
    with pytest.raises(OpusRefused):
        packet_samples(b"")


def test_a_frame_of_another_length_and_a_closed_coder_are_refused() -> None:
    encoder, decoder = Encoder(), Decoder()
    with pytest.raises(ValueError, match="960"):
        encoder.encode(np.zeros((959, 1), np.float32))
    for coder in (encoder, decoder):
        coder.close()
        coder.close()
    with pytest.raises(ValueError, match="open"):
        encoder.encode(np.zeros((960, 1), np.float32))
    with pytest.raises(ValueError, match="closed"):
        decoder.conceal(960)


def test_settings_that_libopus_does_not_take_are_refused() -> None:
    with pytest.raises(OpusRefused):
        Encoder(EncoderOptions(channels=3))
    with pytest.raises(OpusRefused):
        Encoder(EncoderOptions(complexity=11))


def test_without_libopus_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "opus" in opus.library_path()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda _name: None)
    with pytest.raises(ModelMissing, match="make clean"):
        opus.library_path()
