"""`/docs`, `/docs/errors` and `/openapi.json`: the API's description, for people and programs.

The pages are plain HTML made here: the usual documentation pages fetch their scripts from other people's
servers, and ClearCast's users may have no way out.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from deployments.ingress.access import Reader
from deployments.ingress.error_pages import as_html_rows
from deployments.ingress.examples import add_examples
from deployments.ingress.problems import ERRORS_PAGE, Problem

router = APIRouter(include_in_schema=False)

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
code,pre{font:14px ui-monospace,monospace;background:#f4f4f4;border-radius:3px;padding:.1em .3em}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #ddd;padding:.3em .6em;text-align:left;vertical-align:top}
section{margin:2.5rem 0}h2{font-size:1.1rem}b.method{color:#06c}:target{background:#ffd}
"""
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@router.get("/openapi.json")
async def read_openapi(request: Request, _reader: Reader) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def read_docs(request: Request, _reader: Reader) -> HTMLResponse:
    description = request.app.openapi()
    body = "".join(
        _operation(path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    )
    links = f'<p><a href="/openapi.json">OpenAPI</a> · <a href="{ERRORS_PAGE}">Errors</a></p>'
    intro = f"<p>{html.escape(description['info']['description'])}</p>"
    return _page("ClearCast API", links + intro + body)


@router.get(ERRORS_PAGE)
async def read_errors(_reader: Reader) -> HTMLResponse:
    head = "<tr><th>code</th><th>status</th><th>retryable</th><th>title</th><th>when</th></tr>"
    return _page("ClearCast errors", f"<table>{head}{as_html_rows()}</table>")


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` the full description, with the problem document among its schemas."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            parts = schema.setdefault("components", {}).setdefault("schemas", {})
            parts["Problem"] = Problem.model_json_schema()
            _restore_examples(parts)
            add_examples(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _restore_examples(schemas: dict[str, Any]) -> None:
    """FastAPI leaves nulls out of examples, which then lack what their own schema requires."""
    for model in _models(BaseModel):
        extra = model.model_config.get("json_schema_extra")
        if isinstance(extra, dict) and "example" in extra and model.__name__ in schemas:
            schemas[model.__name__]["example"] = extra["example"]


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if model.__module__.startswith(__name__.rpartition(".")[0]):
            yield model
        yield from _models(model)


def _page(title: str, body: str) -> HTMLResponse:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>{body}</html>"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": _PAGE_POLICY})


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(kind)}</td>"
        f"<td>{html.escape(text)}</td></tr>"
        for name, kind, text in _inputs(operation)
    )
    answers = "".join(
        f"<tr><td>{status}</td><td>{html.escape(answer.get('description', ''))}</td></tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    return (
        f'<section id="{operation["operationId"]}"><h2><b class="method">{method.upper()}</b> '
        f"<code>{html.escape(path)}</code> {html.escape(operation.get('summary', ''))}</h2>"
        f"<p>{html.escape(operation.get('description', ''))}</p><table>{rows}</table>"
        f"<details><summary>Answers</summary><table>{answers}</table></details></section>"
    )


def _inputs(operation: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, type, description) of each parameter and form field."""
    for parameter in operation.get("parameters", []):
        yield parameter["name"], _kind(parameter.get("schema", {})), parameter.get("description", "")
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for name, schema in content.get("schema", {}).get("properties", {}).items():
            yield name, _kind(schema), schema.get("description", "")


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_kind(part) for part in schema["anyOf"] if part.get("type") != "null")
    if schema.get("format") == "binary":
        return "file"
    return f"list of {_kind(schema['items'])}" if "items" in schema else str(schema.get("type", ""))
