"""The whole platform on this machine: a private Ray, Serve, and a clean end on Ctrl-C.

What lives here: starting and stopping. What does not: which deployments there are (`app.py`). On a cluster
that runs already, use `serve deploy` instead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from clearcast.accounts.first_start import prepare_start
from clearcast.errors import Conflict
from clearcast.ports import bind_error
from clearcast.settings import Settings, load_settings
from deployments.private_ray import start_private_ray

APP_NAME = "clearcast"


RAY_ENVIRONMENT = {
    # How soon Serve's proxy notices that it must restart; the default leaves a gap of half a minute.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "3",
    # After so long a replica that no node has room for is told of in /health/ready.
    "RAY_SERVE_SLOW_STARTUP_WARNING_S": "10",
    "RAY_SERVE_SLOW_STARTUP_WARNING_PERIOD_S": "10",
    # Uploads stay out of the proxies' memory.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.backpressure.bound_proxy",
    # Else the HTTP server inside Serve's proxy believes any forwarded address that comes over loopback;
    # whom to believe is the setting http.trusted_proxies.
    "FORWARDED_ALLOW_IPS": "",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine
}
"""What Ray is started with, here as on every node of a cluster (`ops/cluster/environment.sh`)."""


def start_ray(num_cpus: int | None = None, num_gpus: int | None = None) -> None:
    """A Ray of our own that Serve runs well on."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    start_private_ray(num_cpus, num_gpus)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a platform is reached. Attributes:
    url: the HTTP API.
    live_urls: the gateways of live rooms, one on each node; none where they are switched off.
    """

    url: str
    live_urls: tuple[str, ...] = ()


@contextlib.contextmanager
def running(settings: Settings, num_cpus: int | None = None) -> Iterator[Addresses]:
    """The platform, ready for requests, as a context that gives its addresses.

    Raises Conflict when a port is taken.
    """
    _assert_port_free(settings.http.host, settings.http.port, "CLEARCAST__HTTP__PORT")
    if settings.live.enabled:
        _assert_port_free(settings.live.host, settings.live.port, "CLEARCAST__LIVE__PORT")
    start_ray(num_cpus)
    import ray
    from ray import serve

    # Serve tells every step; what matters to the user is said by those who call this.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        serve.start(
            http_options={
                "host": settings.http.host,
                "port": settings.http.port,
                "request_timeout_s": settings.http.request_timeout_s,
            }
        )
        from deployments.app import wire

        serve.run(wire(settings), name=APP_NAME, route_prefix="/")
        live_urls = _start_live(settings)
        yield Addresses(f"http://{settings.http.host}:{settings.http.port}", live_urls)
        _stop_live(settings)
        serve.delete(APP_NAME)  # lets requests that are under way finish
    finally:
        ray.shutdown()  # ends every process of this private Ray, Serve's own among them


def _start_live(settings: Settings) -> tuple[str, ...]:
    if not settings.live.enabled:
        return ()
    from deployments.live.actor import start_gateways

    return start_gateways(settings, APP_NAME)


def _stop_live(settings: Settings) -> None:
    """Detached actors outlive Serve; their recordings are finished here."""
    if settings.live.enabled:
        from deployments.live.actor import stop_gateways

        stop_gateways()


def serve_forever(profile: str | None = None, say: Callable[[str], Any] = print) -> None:
    """Run until Ctrl-C or SIGTERM. Raises SettingsInvalid, Conflict."""
    settings = load_settings(profile)
    stop = threading.Event()
    started_s = time.monotonic()
    say("ClearCast is starting …")
    _on_end(stop)
    with running(settings) as addresses:
        url = addresses.url
        _on_end(stop)  # Ray has put its own in place, which aborts
        say(f"ClearCast is ready after {time.monotonic() - started_s:.0f} s.")
        say(f"  API            {url}/v1")
        for live_url in addresses.live_urls:
            say(f"  Live rooms     {live_url}/rooms")
        say(f"  Documentation  {url}/docs")
        say(f"  Health         {url}/health/ready")
        if settings.http.require_key:
            _say_way_in(settings, url, say)
        say("Stop with Ctrl-C.")
        stop.wait()
        say("ClearCast is stopping …")


def _on_end(stop: threading.Event) -> None:
    """Have Ctrl-C and SIGTERM set `stop`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())


def _say_way_in(settings: Settings, url: str, say: Callable[[str], Any]) -> None:
    start = prepare_start(settings, url)
    if start.login_code is not None:
        say(f"  Log in         {url}/login/{start.login_code}")
        say("                 (works once, for ten minutes; another: clearcast users login-link admin)")
    if start.made_key:
        say(f"  API key        stored for the command line: clearcast models list --server {url}")
    say("  More           clearcast users | keys")


def _assert_port_free(host: str, port: int, variable: str) -> None:
    error = bind_error(host, port)
    if error is not None:
        raise Conflict(
            f"Port {port} on {host} is taken.",
            hint=f"Stop what uses it, or set {variable}.",
        ) from error


if __name__ == "__main__":
    serve_forever(sys.argv[1] if len(sys.argv) > 1 else None)
