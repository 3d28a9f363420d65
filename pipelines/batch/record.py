"""What is known of one file when its work has ended: the sign that it is done, and its row in the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, cast

from pydantic import TypeAdapter, ValidationError

RECORDS = ".batch"  # the folder of the records at the destination

Figure = float | int | str | None


@dataclass(frozen=True, slots=True)
class Record:
    """Attributes:
    source, size_bytes, version, sha256: the bytes that were worked on; sha256 None where they could not
        be read.
    order_key: what was done with them (`BatchOrder.key_of`); "" where the options were wrong.
    run_id: which run of the batch did it.
    error_code, message, retryable: of a failed file.
    duration_s: of the recording; None where it could not be decoded.
    stages_s: seconds each stage took, by its group.
    engine: every engine and model that took part.
    figures: what is worth knowing of the results, by names that carry their units.
    outputs: the results' sizes in bytes by their names below the destination.
    """

    source: str
    size_bytes: int
    version: str
    sha256: str | None
    order_key: str
    run_id: str
    outcome: Literal["done", "failed"]
    error_code: str | None = None
    message: str | None = None
    retryable: bool = False
    duration_s: float | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)
    engine: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: bytes | None) -> Self | None:
        """None for no document, and for one that is not a record: its file is not done."""
        if document is None:
            return None
        try:
            return cast(Self, _ADAPTER.validate_json(document))
        except ValidationError:
            return None

    def document(self) -> bytes:
        return _ADAPTER.dump_json(self, indent=1) + b"\n"


_ADAPTER = TypeAdapter(Record)


def record_name(pipeline: str, name: str) -> str:
    """Where the record of a file lies below the destination."""
    return f"{RECORDS}/{pipeline}/{name}.json"
