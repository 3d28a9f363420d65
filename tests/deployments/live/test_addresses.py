"""Where clients are told to reach each node."""

from __future__ import annotations

import pytest

from clearcast.settings import LiveSettings, Settings
from deployments.live.actor import settings_on


@pytest.mark.parametrize(
    ("live", "address", "url"),
    [
        ({}, "10.0.0.7", "http://127.0.0.1:8001"),
        ({"host": "0.0.0.0", "port": 9000}, "10.0.0.7", "http://10.0.0.7:9000"),
        ({"host": "::"}, "fd00::7", "http://[fd00::7]:8001"),
        ({"public_url": "https://{host}:8443/live"}, "10.0.0.7", "https://10.0.0.7:8443/live"),
        ({"public_url": "https://live.example"}, "10.0.0.7", "https://live.example"),
    ],
)
def test_every_node_has_an_address_of_its_own(live: dict[str, object], address: str, url: str) -> None:
    settings = Settings(live=LiveSettings.model_validate(live))
    assert settings_on(settings, address).live.url == url
