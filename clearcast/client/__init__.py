"""The Python client of a ClearCast server: `Client` and `AsyncClient`.

    with Client("http://127.0.0.1:8000", api_key="cc_…") as client:
        job = client.jobs.submit("meeting", ["call.mp3"], options={"language": "en"})
        client.jobs.wait(job.id, on_progress=lambda event: print(event.stage, event.fraction))
        for segment in client.jobs.result(job.id).transcript.segments:
            print(segment.speaker, segment.text)

`AsyncClient` is the same with `async with` and `await`; both are also called `ClearCast` and
`AsyncClearCast`. Files are streamed from disk. Errors are those of `clearcast.errors`, whatever the server
answers; a busy server is asked again after the time it names.
"""

from __future__ import annotations

from clearcast.client.clients import AsyncClearCast, AsyncClient, ClearCast, Client
from clearcast.client.orders import FileWithOptions

__all__ = ["AsyncClearCast", "AsyncClient", "ClearCast", "Client", "FileWithOptions"]
