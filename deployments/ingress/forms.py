"""Forms: what the fields of a multipart request mean, checked by pydantic and described in OpenAPI.

What lives here: the base of every route's form. What does not: receiving the body (`uploads.py`).
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from clearcast.errors import OptionInvalid
from deployments.ingress.problems import from_validation
from deployments.ingress.uploads import Upload


class Form(BaseModel):
    """Base of every form. Class attribute `files`: the parts that hold files, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    files: ClassVar[dict[str, str]] = {"file": "The recording: audio or video in any common format."}


FormT = TypeVar("FormT", bound=Form)
ModelT = TypeVar("ModelT", bound=BaseModel)


def parse(kind: type[FormT], upload: Upload) -> FormT:
    """The received fields as a form. An empty field counts as not given. Raises OptionInvalid."""
    _check_names(kind, upload)
    values: dict[str, Any] = {}
    for name, texts in upload.fields.items():
        given = [text for text in texts if text.strip()]
        if _is_list(kind, name):
            values[name] = given
        elif len(given) > 1:
            raise OptionInvalid(f"The option {name!r} is given {len(given)} times.", field=name)
        elif given:
            values[name] = given[0]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise from_validation(error) from error


def request_body(kind: type[Form]) -> dict[str, Any]:
    """The OpenAPI description of a request that carries this form, for `openapi_extra`."""
    schema = kind.model_json_schema()
    properties = {
        name: {"type": "string", "format": "binary", "description": text}
        for name, text in kind.files.items()
    }
    properties.update(schema.get("properties", {}))
    required = [*[name for name in kind.files if name == "file"], *schema.get("required", [])]
    body = {"type": "object", "properties": properties, "required": required, "title": kind.__name__}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}}}


def parse_json(kind: type[ModelT], content: bytes) -> ModelT:
    """A JSON body as a model. Raises OptionInvalid."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise from_validation(error) from error


def json_body(schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a request with a JSON body, for `openapi_extra`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _check_names(kind: type[Form], upload: Upload) -> None:
    known = {*kind.model_fields, *kind.files}
    for name in (*upload.fields, *upload.files):
        if name not in known:
            raise OptionInvalid(
                f"There is no option {name!r}.", hint=f"Options: {', '.join(sorted(known))}.", field=name
            )
    for name in upload.fields:
        if name in kind.files:
            raise OptionInvalid(f"The part {name!r} must hold a file, with a file name.", field=name)
    for name in upload.files:
        if name not in kind.files:
            raise OptionInvalid(f"The option {name!r} is text, not a file.", field=name)


def _is_list(kind: type[Form], name: str) -> bool:
    return get_origin(kind.model_fields[name].annotation) is list
