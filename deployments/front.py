"""The HTTP ingress as a Serve replica: the FastAPI app over the model handles."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatusOverview

from clearcast.settings import Settings
from deployments.backpressure import bound_replica
from deployments.handles import served
from deployments.ingress.app import create_app
from deployments.ingress.log_lines import write_logs
from deployments.ingress.state import Standing
from deployments.replica import Replica
from deployments.standing import judge, replicas


class Front(Replica):
    """One process that answers HTTP and runs the pipelines; the models are elsewhere."""

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, DeploymentHandle[Any]],
        _jobs: DeploymentHandle[Any],  # bound so that it is deployed; spoken to through the database
    ) -> None:
        write_logs(sys.stderr, settings.log_level)
        bound_replica()
        self._settings = settings
        self._app_name = serve.get_replica_context().app_name
        self._services = served(settings, models)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services, self._settings, ready=self._standing, replicas=self._replicas)

    async def _status(self) -> ApplicationStatusOverview | None:
        return (await asyncio.to_thread(serve.status)).applications.get(self._app_name)

    async def _replicas(self) -> Mapping[str, int]:
        return replicas(await self._status())

    async def _standing(self) -> Standing:
        return judge(await self._status(), self._app_name)
