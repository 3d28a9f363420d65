"""Following a job: server-sent events, and going on where a connection broke.

What lives here: the lines of a stream as `JobEvent`s, and when to ask again from where. What does not: the
connection (`jobs`).
"""

from __future__ import annotations

import json
from urllib.parse import quote

from clearcast.client.flow import Backoff
from clearcast.client.types import JobEvent
from clearcast.client.wire import Call
from clearcast.errors import ClearCastError, FileFormatInvalid

QUIET_S = 60.0  # the server gives a sign of life every 15 s


class EventReader:
    """The events of one job after the event `after`, over as many connections as it takes."""

    def __init__(self, job_id: str, after: int, patience_s: float) -> None:
        self.last_id = after
        self.has_ended = False
        self._job_id = job_id
        self._backoff = Backoff(patience_s)
        self._fields: dict[str, str] = {}

    def call(self) -> Call:
        """The request for what comes next."""
        self._fields.clear()
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.last_id)}
        path = f"/v1/jobs/{quote(self._job_id, safe='')}/events"
        return Call("GET", path, headers=headers, timeout_s=QUIET_S)

    def feed(self, line: str) -> JobEvent | None:
        """The event that this line completes, if it does. Raises FileFormatInvalid."""
        if line:
            name, _, text = line.partition(":")  # a comment has no name
            if name:
                self._fields[name] = text.removeprefix(" ")
            return None
        if "data" not in self._fields:
            return None
        try:
            event = JobEvent.of(
                int(self._fields["id"]), self._fields["event"], json.loads(self._fields["data"])
            )
        except (KeyError, ValueError, AttributeError) as error:
            raise FileFormatInvalid("The server sent an event that cannot be read.") from error
        self._fields.clear()
        self._backoff.succeeded()
        self.last_id, self.has_ended = event.id, event.is_end
        return event

    def pause_s(self, error: ClearCastError) -> float:
        """How long to wait before asking again. Raises `error` when it has been too long."""
        return self._backoff.pause_s(error)
