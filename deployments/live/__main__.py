"""Live rooms on a cluster that runs already: `python -m deployments.live start | stop [PROFILE]`.

`start` brings a gateway to every node that has none, also to nodes that joined later; `stop` ends them all.
`clearcast serve` does both by itself. The platform (`serve deploy`) must run: its models are used.
"""

from __future__ import annotations

import sys

import ray

from clearcast.settings import load_settings
from deployments.live.actor import start_gateways, stop_gateways
from deployments.server import APP_NAME


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in {"start", "stop"}:
        print(__doc__, file=sys.stderr)
        return 2
    ray.init(address="auto", log_to_driver=False, configure_logging=False)
    if arguments[0] == "stop":
        stop_gateways()
        return 0
    settings = load_settings(arguments[1] if len(arguments) > 1 else None)
    for url in start_gateways(settings, APP_NAME):
        print(f"Live rooms  {url}/rooms")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
