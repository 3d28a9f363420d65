"""A real tus client (tuspy) in a process of its own: `python tus_client.py URL FILE CHUNK_BYTES`.

The first argument is the address of the uploads, or that of an upload to go on with. Prints the upload's
address, then the offset after every part.
"""

from __future__ import annotations

import sys

from tusclient.client import TusClient


def main(url: str, path: str, chunk_bytes: int) -> None:
    client = TusClient(url)
    begun = "/uploads/" in url
    uploader = client.uploader(
        path, url=url if begun else None, chunk_size=chunk_bytes, metadata={"filename": "talk.wav"}
    )
    if not begun:
        uploader.set_url(uploader.create_url())
    print(uploader.url, flush=True)
    while uploader.offset < uploader.stop_at:
        uploader.upload_chunk()
        print(uploader.offset, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
