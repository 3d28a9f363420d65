"""Every error code, for readers: `docs/errors.md`, and the page that a problem's `type` leads to.

    python -m deployments.ingress.error_pages > docs/errors.md

What lives here: reading the error tree and writing it down. What does not: the errors. What each one means
is said once, in the tree that the docstring of `clearcast/errors.py` draws.
"""

from __future__ import annotations

import html
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from clearcast import errors
from clearcast.errors import ClearCastError

_TREE_LINE = re.compile(r"^[│├└─ ]+(?P<name>\w+) {2,}(?P<meaning>.+)$", re.MULTILINE)
# 499 is nginx's, 460 is tus'; the standard has neither.
_OWN_STATUS = {499: "Client Closed Request", 460: "Checksum Mismatch"}

HEAD = """\
# Errors

Every error is a problem document (RFC 9457, `application/problem+json`) with a stable `code`:

```json
{
  "type": "/docs/errors#overloaded",
  "title": "Too much work at the moment",
  "status": 503,
  "detail": "All places are taken: too many recordings are being worked on.",
  "code": "overloaded",
  "hint": "Try again after the time in Retry-After.",
  "retryable": true,
  "request_id": "req_5f0c9a7be21d4c63a8d2e714",
  "retry_after_s": 5
}
```

Programs decide by `code`; people read `detail` and `hint`. `retryable` tells whether the same request may
succeed later; `Retry-After` then tells when, where that is known. `request_id` is the `X-Request-Id` of the
answer and stands in the server's log. On `/v1/audio` and `/v1/models` the document also holds `error` in
OpenAI's form, and `X-Should-Retry` keeps its SDK from sending again what cannot succeed.

This page is made from `clearcast/errors.py`: `python -m deployments.ingress.error_pages > docs/errors.md`.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One error as readers see it."""

    code: str
    status: int
    retryable: bool
    title: str
    when: str

    @property
    def status_phrase(self) -> str:
        return f"{self.status} {reason_phrase(self.status)}"


def reason_phrase(status: int) -> str:
    """What a status is called."""
    return _OWN_STATUS.get(status) or HTTPStatus(status).phrase


def entries() -> list[Entry]:
    """All codes in the order of the tree."""
    tree = inspect.getdoc(errors) or ""
    meanings = {match["name"]: match["meaning"] for match in _TREE_LINE.finditer(tree)}
    return [
        Entry(
            kind.code,
            kind.http_status,
            kind.retryable,
            kind.title,
            meanings.get(kind.__name__, "").strip(),
        )
        for kind in _tree(ClearCastError)
    ]


def _tree(kind: type[ClearCastError]) -> Iterator[type[ClearCastError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def as_markdown() -> str:
    """The content of `docs/errors.md`."""
    rows = [HEAD, "| code | status | retryable | title | when |", "|---|---|---|---|---|"]
    for entry in entries():
        anchor = f'<a id="{entry.code}"></a>`{entry.code}`'
        facts = (anchor, entry.status_phrase, _yes(entry.retryable), entry.title, entry.when)
        rows.append(f"| {' | '.join(facts)} |")
    return "\n".join(rows) + "\n"


def as_html_rows() -> str:
    """The table's body for the page `/docs/errors`."""
    return "\n".join(
        f'<tr id="{entry.code}"><td><code>{entry.code}</code></td><td>{entry.status_phrase}</td>'
        f"<td>{_yes(entry.retryable)}</td><td>{html.escape(entry.title)}</td>"
        f"<td>{html.escape(entry.when)}</td></tr>"
        for entry in entries()
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
