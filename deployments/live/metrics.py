"""What the gateway counts, in Prometheus's form, read from the hall when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.hall import Hall


class LiveMetrics(Collector):
    """For the registry of a gateway's `Metrics`."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def collect(self) -> Iterator[Metric]:
        rooms = list(self._hall.rooms.values())
        people = [who for room in rooms for who in room.people.values()]
        voices = [voice for room in rooms for voice in room.sound.media.voices.values()]
        gauges = {
            "clearcast_live_rooms": ("Rooms that are open here.", len(rooms)),
            "clearcast_live_participants": ("People in them.", len(people)),
            "clearcast_live_voices": ("Those who speak.", len(voices)),
            "clearcast_live_listeners": ("Those who listen.", sum(one.ear is not None for one in people)),
            "clearcast_live_recordings": (
                "Rooms being recorded.",
                sum(room.recording.is_running for room in rooms),
            ),
            "clearcast_live_captioned": (
                "Rooms with captions.",
                sum(room.captions.options is not None for room in rooms),
            ),
            "clearcast_live_denoise_failing": (
                "Voices that pass untouched because what cleans them is out of order.",
                sum(one.denoise_failed for one in people),
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value)
        yield CounterMetricFamily(
            "clearcast_live_refused", "Joins sent away because of limits.", self._hall.admission.refused
        )
