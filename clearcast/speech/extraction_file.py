"""The JSON of what was extracted: the fields of `Extracted` under their names, "type": "extraction"."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from clearcast.errors import FileFormatInvalid
from clearcast.speech.extraction import Extracted
from clearcast.speech.json_file import SCHEMA_VERSION

_DECIMALS = 6
_ADAPTER = TypeAdapter(Extracted)


def write_extracted(extracted: Extracted) -> str:
    """The JSON document; numbers have at most six decimals."""
    body = _rounded(_ADAPTER.dump_python(extracted))
    document = {"clearcast": SCHEMA_VERSION, "type": "extraction", **body}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def read_extracted(text: str | bytes) -> Extracted:
    """What `write_extracted` wrote. Raises FileFormatInvalid."""
    try:
        document = json.loads(text)
        head = document.pop("clearcast"), document.pop("type")
        if head != (SCHEMA_VERSION, "extraction"):
            raise FileFormatInvalid('Not an extraction: it must have "clearcast": 1, "type": "extraction".')
        return _ADAPTER.validate_python(document)
    except (ValueError, KeyError, AttributeError, ValidationError) as error:
        raise FileFormatInvalid("Not the JSON of an extraction.") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
