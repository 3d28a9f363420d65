"""`/v1/models`: what runs here."""

from __future__ import annotations

from fastapi import APIRouter

from clearcast.errors import NotFound
from deployments.ingress.access import Owner
from deployments.ingress.catalog import Model, ModelList
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State

router = APIRouter(prefix="/v1/models", tags=["OpenAI-compatible"])


@router.get("", operation_id="listModels", summary="List the models that run here", responses=problems())
async def list_models(_owner: Owner, state: State) -> ModelList:
    """Which engine and model does what in this server's profile."""
    return ModelList(data=state.catalog.models())


@router.get(
    "/{model:path}",
    operation_id="retrieveModel",
    summary="Show one model",
    responses=problems(NotFound),
)
async def retrieve_model(model: str, _owner: Owner, state: State) -> Model:
    """By its id or one of its aliases."""
    return state.catalog.find(model)
