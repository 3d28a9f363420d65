"""Settings: one place, profiles and environment, nothing unknown accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.engines.engine import SERVICES, engine_class
from clearcast.errors import SettingsInvalid
from clearcast.settings import CONFIG_DIR, load_settings
from clearcast.settings_page import PAGE, page


@pytest.mark.parametrize("profile", sorted(file.stem for file in CONFIG_DIR.glob("*.yaml")))
def test_every_profile_loads_and_names_engines_that_exist(profile: str) -> None:
    settings = load_settings(profile)
    for service in SERVICES:
        engine_class(service, getattr(settings.engines, service).engine)


def test_the_environment_overrides_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARCAST__HTTP__PORT", "9123")
    monkeypatch.setenv("CLEARCAST__ENGINES__TRANSCRIBE__ENGINE", "faster_whisper")
    settings = load_settings("local")
    assert settings.http.port == 9123
    assert settings.engines.transcribe.engine == "faster_whisper"


@pytest.mark.parametrize("name", ["CLEARCAST__HTPP__PORT", "CLEARCAST__HTTP__PROT"])
def test_a_misspelt_environment_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsInvalid):
        load_settings("local")


@pytest.mark.parametrize(
    "text",
    ["serv: {}", "http: {port: 0}", "http: {prot: 1}", "engines: {transcribe: {motor: x}}", "- a", "a: [b"],
)
def test_a_wrong_profile_is_refused_with_the_reason(tmp_path: Path, text: str) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsInvalid):
        load_settings(str(profile))


def test_a_profile_that_is_not_there_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsInvalid, match="cluster, gpu, local"):
        load_settings("lokal")


def test_the_profile_can_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARCAST_PROFILE", "gpu")
    assert load_settings().engines.diarize.engine == "pyannote"


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARCAST__MODELS__HUB_TOKEN", "hf_very_secret")
    settings = load_settings("local")
    assert "very_secret" not in repr(settings)
    assert settings.models.hub_token is not None
    assert settings.models.hub_token.get_secret_value() == "hf_very_secret"


def test_the_settings_page_lists_every_setting() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m clearcast.settings_page"
