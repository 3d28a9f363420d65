"""An ingress on services without models, in a process of its own: `python fake_server.py DATA_DIR`.

Prints its port when it listens. Used where a test measures the process.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from clearcast.settings import HttpSettings, Settings
from clearcast.testing.services import fake_services
from deployments.ingress.app import create_app
from tests.deployments.ingress.loopback import listening


async def main() -> None:
    settings = Settings(data_dir=Path(sys.argv[1]), http=HttpSettings(require_key=False))
    async with listening(create_app(fake_services(), settings)) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
