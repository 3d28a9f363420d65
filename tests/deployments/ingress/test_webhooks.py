"""`/v1/webhooks`: the caller's own secret and deliveries."""

from __future__ import annotations

import httpx

from tests.deployments.ingress.loopback import MakeApp, connect


async def test_everybody_has_a_secret_of_their_own(make_app: MakeApp, key: str, other_key: str) -> None:
    app = make_app()
    async with connect(app, key) as anna, connect(app, other_key) as bela:
        secret = (await anna.get("/v1/webhooks/secret")).json()["secret"]
        assert secret.startswith("whsec_")
        assert (await anna.get("/v1/webhooks/secret")).json()["secret"] == secret
        assert (await bela.get("/v1/webhooks/secret")).json()["secret"] != secret


async def test_without_webhooks_there_are_no_deliveries(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/webhooks/deliveries")).json() == {"deliveries": [], "next": None}
