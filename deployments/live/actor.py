"""The gateway as a Ray actor on every node, outside Serve, whose proxy is too slow for live work.

What lives here: starting, finding and ending the actors, and the server inside. What does not: the app
(`app.py`).

A node has two of them: one serves, one stands by with everything imported, and serves at once when the
first one dies (`turn.py`). Ray starts the dead one again, and then that one stands by. Rooms are not kept:
clients come back by themselves. Actors are detached: who started them must end them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from typing import Any

import ray
import uvicorn
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from clearcast.errors import NotFound, ServiceUnavailable
from clearcast.services import Services
from clearcast.settings import Settings
from deployments.handles import served_by
from deployments.ingress.log_lines import write_logs
from deployments.live.app import create_gateway
from deployments.live.turn import Turn
from deployments.private_ray import environment, without_hub_token
from streaming.messages import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

START_S = 60.0
STOP_S = 10.0
_LOOK_EVERY_S = 0.1
NAMESPACE = "clearcast"
_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - what is compared with


class LiveGateway:
    """The actor's class. Its server runs from the actor's making on, also when Ray makes it anew after a
    crash, in a thread with an event loop of its own."""

    def __init__(self, settings: Settings, node_id: str, app_name: str | None) -> None:
        """See `start_gateways`."""
        write_logs(sys.stderr, settings.log_level)
        self._turn = Turn(settings.data_path / "live-sound" / f"{node_id}-{settings.live.port}.lock")
        # None of the platform's models is loaded here: a recogniser that holds Python's lock while it
        # decodes would stop every voice of this node.
        services = None if app_name is None else served_by(app_name, settings)
        self._server = gateway_server(settings, node_id, services)
        # Ray has put uvloop's policy in place, which starts no child processes for asyncio's own loops.
        asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
        self._thread = threading.Thread(target=self._serve, name="live-gateway", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            if not self._turn.take():
                return
            self._server.run()
        except SystemExit:  # how uvicorn says that it cannot start, for example because the port is taken
            logger.error("the live gateway could not start")
            return
        except Exception:
            logger.exception("the live gateway failed")
        if not self._server.should_exit:
            os._exit(1)  # Ray starts this actor again

    def serves(self) -> bool:
        """Whether clients reach this one. Raises ServiceUnavailable when it cannot start."""
        if not self._thread.is_alive():
            raise ServiceUnavailable("The live gateway could not start.", hint="See its log.")
        return bool(self._server.started)

    def stop(self) -> None:
        """Everybody is told to come again; recordings are finished."""
        self._turn.give_up()
        self._server.should_exit = True
        self._thread.join()

    def pid(self) -> int:
        """Its process on its node."""
        return os.getpid()


def gateway_server(settings: Settings, node_id: str, services: Services | None = None) -> uvicorn.Server:
    """The server of one node, not started yet. Without `services` its models run in this process."""
    live = settings.live
    config = uvicorn.Config(
        create_gateway(settings, node_id, services),
        host=live.host,
        port=live.port,
        ssl_certfile=None if live.tls_certificate is None else str(live.tls_certificate),
        ssl_keyfile=None if live.tls_key is None else str(live.tls_key),
        loop="asyncio",  # what aiortc is made for
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whom to believe is the setting http.trusted_proxies
        server_header=False,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_max_queue=8,
        ws_ping_interval=5.0,  # a client that vanished is noticed within ten seconds
        ws_ping_timeout=5.0,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


def start_gateways(settings: Settings, app_name: str | None = None) -> tuple[str, ...]:
    """A gateway on every living node that has none, and one that stands by; gives the addresses of all.
    Blocks until they serve.

    Their models are those of the Serve application `app_name`, which runs already; without one each loads
    its own. Raises ServiceUnavailable when one cannot start.
    """
    settings = without_hub_token(settings)
    nodes = {node["NodeID"]: settings_on(settings, node["NodeManagerAddress"]) for node in _living_nodes()}
    places = range(2 if settings.live.standby else 1)
    first = {node_id: [_gateway(there, node_id, 0, app_name)] for node_id, there in nodes.items()}
    for node_id, gateways in first.items():
        _wait(node_id, gateways)
    for node_id, there in nodes.items():
        for place in places[1:]:
            _gateway(there, node_id, place, app_name)
    return tuple(there.live.url for there in nodes.values())


def _wait(node_id: str, gateways: list[ActorHandle[LiveGateway]]) -> None:
    """Until one of them, or one that was there before, serves. Raises ServiceUnavailable."""
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        try:
            if any(ray.get([one.serves.remote() for one in gateways], timeout=START_S)):
                return
        except (RayTaskError, GetTimeoutError) as error:
            raise ServiceUnavailable("The live gateway could not start.", hint="See its log.") from error
        gateways = find_gateways(node_id)
        time.sleep(_LOOK_EVERY_S)
    raise ServiceUnavailable("The live gateway could not start.", hint="See its log.")


def settings_on(settings: Settings, address: str) -> Settings:
    """The settings as they are on the node of this address: clients are told to reach that one."""
    live = settings.live
    if live.public_url is None and live.host not in _EVERY_ADDRESS:
        return settings
    scheme = "http" if live.tls_certificate is None else "https"
    host = f"[{address}]" if ":" in address else address
    url = (live.public_url or f"{scheme}://{{host}}:{live.port}").replace("{host}", host)
    return settings.model_copy(update={"live": live.model_copy(update={"public_url": url})})


def stop_gateways() -> None:
    """End all of them: what is detached outlives Serve and its driver. Blocks."""
    for node in _living_nodes():
        gateways = find_gateways(node["NodeID"])
        for gateway in sorted(gateways, key=_serves):  # who stands by must not take over
            try:
                ray.get(gateway.stop.remote(), timeout=STOP_S)
            except Exception as error:  # it ends even so
                logger.warning("a live gateway did not stop by itself", exc_info=error)
            ray.kill(gateway, no_restart=True)


def find_gateway(node_id: str) -> ActorHandle[LiveGateway]:
    """The actor that serves on a node. Raises NotFound."""
    for gateway in find_gateways(node_id):
        if _serves(gateway):
            return gateway
    raise NotFound("No live gateway serves on that node.")


def find_gateways(node_id: str) -> list[ActorHandle[LiveGateway]]:
    """The actors of a node."""
    found: list[ActorHandle[LiveGateway]] = []
    for place in range(2):
        with contextlib.suppress(ValueError):
            found.append(ray.get_actor(_name(node_id, place), namespace=NAMESPACE))
    return found


def _serves(gateway: ActorHandle[LiveGateway]) -> bool:
    try:
        return bool(ray.get(gateway.serves.remote(), timeout=STOP_S))
    except (RayError, GetTimeoutError):  # it is dead, or being started again
        return False


def _living_nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _gateway(
    settings: Settings, node_id: str, place: int, app_name: str | None
) -> ActorHandle[LiveGateway]:
    kind: Any = ray.remote(LiveGateway)  # a decorated class, for type checkers
    actor: ActorHandle[LiveGateway] = kind.options(
        name=_name(node_id, place),
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        num_cpus=0.1,
        max_restarts=-1,
        max_concurrency=4,  # `serves`, `stop` and `pid`; clients do not come through Ray
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        runtime_env={"env_vars": environment(1)},
    ).remote(settings, node_id, app_name)
    return actor


def _name(node_id: str, place: int) -> str:
    return f"live-{node_id}-{place}"
