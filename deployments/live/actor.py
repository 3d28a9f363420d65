"""The gateway as a Ray actor: one on every node, outside Serve, whose proxy is too slow for live work.

What lives here: starting, finding and ending the actors, and the server inside. What does not: the app
(`app.py`).

An actor whose process dies is started again by Ray within seconds, without its rooms: clients come back by
themselves. It is detached, so it survives the driver; who started it must end it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from typing import Any

import ray
import uvicorn
from ray.actor import ActorHandle
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from clearcast.errors import NotFound, ServiceUnavailable
from clearcast.services import Services
from clearcast.settings import Settings
from deployments.handles import served_by
from deployments.ingress.log_lines import write_logs
from deployments.live.app import create_gateway
from deployments.private_ray import environment, without_hub_token
from streaming.messages import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

START_S = 60.0
STOP_S = 10.0
NAMESPACE = "clearcast"
_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - what is compared with


class LiveGateway:
    """The actor's class. Its server runs from the actor's making on, also when Ray makes it anew after a
    crash, in a thread with an event loop of its own."""

    def __init__(self, settings: Settings, node_id: str, app_name: str | None) -> None:
        """See `start_gateways`."""
        write_logs(sys.stderr, settings.log_level)
        self._url = settings.live.url
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
            self._server.run()
        except SystemExit:  # how uvicorn says that it cannot start, for example because the port is taken
            logger.error("the live gateway could not start")
            return
        except Exception:
            logger.exception("the live gateway failed")
        if not self._server.should_exit:
            os._exit(1)  # Ray starts this actor again

    def ready(self) -> str:
        """Where clients reach this node, once they can. Raises ServiceUnavailable when it cannot start."""
        while not self._server.started:
            if not self._thread.is_alive():
                raise ServiceUnavailable("The live gateway could not start.", hint="See its log.")
            time.sleep(0.05)
        return self._url

    def stop(self) -> None:
        """Everybody is told to come again; recordings are finished."""
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
    """One gateway on every living node that has none; gives the addresses of all. Blocks.

    Their models are those of the Serve application `app_name`, which runs already; without one each loads
    its own. Raises ServiceUnavailable when one cannot start.
    """
    settings = without_hub_token(settings)
    actors = [
        _gateway(settings_on(settings, node["NodeManagerAddress"]), node["NodeID"], app_name)
        for node in _nodes()
    ]
    try:
        return tuple(ray.get([actor.ready.remote() for actor in actors], timeout=START_S))
    except RayTaskError as error:
        raise ServiceUnavailable("The live gateway could not start.", hint="See its log.") from error


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
    for node in _nodes():
        try:
            actor = find_gateway(node["NodeID"])
        except NotFound:
            continue
        try:
            ray.get(actor.stop.remote(), timeout=STOP_S)
        except Exception as error:  # it ends even so
            logger.warning("a live gateway did not stop by itself", exc_info=error)
        ray.kill(actor, no_restart=True)


def find_gateway(node_id: str) -> ActorHandle[LiveGateway]:
    """The actor of a node. Raises NotFound."""
    try:
        actor: ActorHandle[LiveGateway] = ray.get_actor(_name(node_id), namespace=NAMESPACE)
    except ValueError:
        raise NotFound("No live gateway was started on that node.") from None
    return actor


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _gateway(settings: Settings, node_id: str, app_name: str | None) -> ActorHandle[LiveGateway]:
    kind: Any = ray.remote(LiveGateway)  # a decorated class, for type checkers
    actor: ActorHandle[LiveGateway] = kind.options(
        name=_name(node_id),
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        num_cpus=0.1,
        max_restarts=-1,
        max_concurrency=4,  # `ready`, `stop` and `pid`; clients do not come through Ray
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        runtime_env={"env_vars": environment(1)},
    ).remote(settings, node_id, app_name)
    return actor


def _name(node_id: str) -> str:
    return f"live-{node_id}"
