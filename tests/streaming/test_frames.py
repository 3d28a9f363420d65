from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streaming.frames import Frame, Framer, OpusReceiver
from streaming.opus import Encoder, EncoderOptions
from streaming.packet_tap import AudioPacket


def spoken(count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    with Encoder(EncoderOptions(bitrate_bps=32_000)) as encoder:
        return [encoder.encode(rng.normal(0, 0.1, (960, 1)).astype(np.float32)) for _ in range(count)]


def packet(
    number: int, payload: bytes, lost: int = 0, at_s: float | None = None, *, restarted: bool = False
) -> AudioPacket:
    at_s = number * 0.02 if at_s is None else at_s
    return AudioPacket(number, 10_000 + 960 * number, payload, lost, restarted or number == 0, at_s)


def test_lost_packets_become_sound_and_time_has_no_hole() -> None:
    payloads, receiver = spoken(30), OpusReceiver()
    frames: list[Frame] = []
    for number, lost in ((0, 0), (1, 0), (3, 1), (4, 0), (9, 4), (10, 0)):
        frames += receiver.push(packet(number, payloads[number], lost))
    assert [frame.position for frame in frames] == [960 * number for number in range(11)]
    assert [n for n, frame in enumerate(frames) if frame.concealed] == [2, 5, 6, 7, 8]
    assert all(np.abs(frame.samples).max() > 0.01 for frame in frames[1:])
    assert (receiver.counts.lost, receiver.counts.concealed) == (5, 5)


def test_a_long_outage_is_a_jump_in_time_not_a_burst_of_packets() -> None:
    payloads, receiver = spoken(30), OpusReceiver()
    receiver.push(packet(0, payloads[0]))
    (frame,) = receiver.push(packet(25, payloads[25], lost=24))
    assert (frame.position, frame.concealed) == (25 * 960, False)
    assert receiver.counts.concealed == 0


def test_a_pause_by_dtx_is_a_jump_in_time_without_loss() -> None:
    payloads, receiver = spoken(3), OpusReceiver()
    receiver.push(packet(0, payloads[0]))
    (frame,) = receiver.push(AudioPacket(1, 10_000 + 20 * 960, payloads[1], 0, False, 0.4))
    assert frame.position == 20 * 960
    assert receiver.counts.lost == 0


def test_another_connection_goes_on_where_the_wall_clock_is() -> None:
    payloads, receiver = spoken(3), OpusReceiver()
    receiver.push(packet(0, payloads[0]))
    (frame,) = receiver.push(AudioPacket(5000, 77, payloads[1], 0, True, 2.0))
    assert frame.position == 2 * 48_000
    (frame,) = receiver.push(AudioPacket(5001, 77 + 960, payloads[2], 0, False, 2.02))
    assert frame.position == 2 * 48_000 + 960


def test_a_clock_that_leaps_ahead_does_not_take_the_timeline_along() -> None:
    payloads, receiver = spoken(3), OpusReceiver()
    receiver.push(packet(0, payloads[0]))
    (frame,) = receiver.push(AudioPacket(1, 10_000 + 3600 * 48_000, payloads[1], 0, False, 0.02))
    assert frame.position == 960


def test_what_is_no_opus_counts_as_lost() -> None:
    payloads, receiver = spoken(3), OpusReceiver()
    receiver.push(packet(0, payloads[0]))
    assert receiver.push(packet(1, b"\xff\xff\xff")) == []
    assert receiver.push(packet(2, payloads[2]))[-1].position == 1920
    assert (receiver.counts.damaged, receiver.counts.lost) == (1, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0, 0, 480, 7200]), st.sampled_from([120, 480, 960, 2880])),
        max_size=30,
    )
)
def test_frames_of_one_length_keep_every_sample_at_its_place(pieces: list[tuple[int, int]]) -> None:
    framer, position, truth = Framer(960), 0, np.zeros(400_000, np.float32)
    out: list[Frame] = []
    for jump, count in pieces:
        position += jump
        sound = np.arange(position + 1, position + count + 1, dtype=np.float32)
        truth[position : position + count] = sound
        out += framer.push(Frame(position, sound[:, np.newaxis]))
        position += count
    end = 0
    for frame in out:
        assert frame.position >= end
        assert len(frame.samples) == 960
        assert not truth[end : frame.position].any()
        end = frame.position + 960
        np.testing.assert_array_equal(frame.samples[:, 0], truth[frame.position : end])
    assert np.count_nonzero(truth[end:]) < 960
