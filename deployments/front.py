"""The HTTP ingress as a Serve replica: the FastAPI app over the model handles."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve._private.common import DeploymentStatus, ReplicaState
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from clearcast.settings import Settings
from deployments.backpressure import bound_replica
from deployments.handles import served
from deployments.ingress.app import create_app
from deployments.ingress.log_lines import write_logs

_WELL = (DeploymentStatus.HEALTHY, DeploymentStatus.UPSCALING, DeploymentStatus.DOWNSCALING)


class Front:
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
        return create_app(self._services, self._settings, ready=self._missing, replicas=self._replicas)

    async def _replicas(self) -> Mapping[str, int]:
        """How many replicas of each deployment run."""
        status = await asyncio.to_thread(serve.status)
        app = status.applications.get(self._app_name)
        deployments = {} if app is None else app.deployments
        return {name: one.replica_states.get(ReplicaState.RUNNING, 0) for name, one in deployments.items()}

    async def _missing(self) -> Mapping[str, str]:
        """What is not ready, by deployment; empty when all is well. Models at zero replicas are well."""
        status = await asyncio.to_thread(serve.status)
        app = status.applications.get(self._app_name)
        if app is None:
            return {self._app_name: "NOT_STARTED"}
        missing = {
            name: str(deployment.status.value)
            for name, deployment in app.deployments.items()
            if deployment.status not in _WELL
        }
        if app.status is ApplicationStatus.DEPLOY_FAILED:
            missing[self._app_name] = str(app.status.value)
        return missing
