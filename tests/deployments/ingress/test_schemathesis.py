"""Requests made from the description, odd ones too, for every operation: none of them breaks the server."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis

from clearcast.settings import AccountSettings
from tests.deployments.ingress.loopback import MakeApp

MANY = 1_000_000
EXAMPLES = 6
BINARY = "application/offset+octet-stream"  # schemathesis cannot make these; tus has tests of its own


@pytest.mark.filterwarnings("ignore")  # schemathesis warns of what it cannot make
def test_no_request_breaks_the_server(make_app: MakeApp, key: str) -> None:
    app = make_app(
        accounts=AccountSettings(
            requests_per_minute=MANY, key_requests_per_minute=MANY, logins_per_minute=MANY
        )
    )
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    broken: list[str] = []
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        name = f"{operation.method.upper()} {operation.path}"
        content = operation.definition.raw.get("requestBody", {}).get("content", {})
        if BINARY in content or name in {"DELETE /v1/auth/me", "POST /v1/auth/log-out"}:
            continue

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            answer = case.call(headers={"Authorization": f"Bearer {key}"})
            is_known = answer.status_code == 501 and b"pipeline_missing" in answer.content
            if answer.status_code >= 500 and not is_known:
                broken.append(f"{case.method} {case.path}: {answer.status_code} {answer.content[:200]!r}")

        ask()
    assert broken == []
    assert asked > 200
