"""Which models there are, asked of the engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.catalogue import catalogue, find_model, needed_models
from clearcast.errors import EngineUnknown, NotFound, SettingsInvalid
from clearcast.settings import Settings, load_settings


def test_the_local_profile_needs_nothing_beyond_its_packages() -> None:
    settings = load_settings("local")
    assert needed_models(settings) == ()
    needed = {user for entry in catalogue(settings) if entry.needed for user in entry.used_by}
    assert {
        "voice_activity/silero",
        "embed/resemblyzer",
        "diarize/vbx",
        "transcribe/pocketsphinx",
    } <= needed


def test_the_gpu_profile_needs_the_models_of_its_engines_and_they_come_first() -> None:
    settings = load_settings("gpu")
    needed = {spec.name for spec in needed_models(settings)}
    assert "whisper-large-v3" in needed
    assert any("pyannote" in name for name in needed)
    first = catalogue(settings)[: len(needed)]
    assert needed <= {entry.name for entry in catalogue(settings) if entry.needed}
    assert all(entry.needed for entry in first)


def test_every_fetched_model_says_what_it_is() -> None:
    for entry in catalogue(load_settings("local")):
        if entry.spec is not None:
            assert entry.spec.files
            assert entry.spec.licence
            assert "/" in entry.spec.repo
            assert entry.spec.name == entry.name


def test_a_model_is_found_by_name_and_a_near_miss_gets_suggestions() -> None:
    settings = load_settings("local")
    assert find_model("whisper-small", settings).repo == "Systran/faster-whisper-small"
    with pytest.raises(NotFound) as caught:
        find_model("whisper-smal", settings)
    assert caught.value.hint is not None
    assert "whisper-small" in caught.value.hint


def test_a_model_that_comes_in_a_package_cannot_be_fetched() -> None:
    with pytest.raises(NotFound, match="inside its Python package"):
        find_model("resemblyzer", load_settings("local"))


@pytest.mark.parametrize(
    ("choice", "kind"),
    [({"engine": "magic"}, EngineUnknown), ({"engine": "vbx", "options": {"spel": 1}}, SettingsInvalid)],
)
def test_a_wrong_engine_or_option_is_an_error(
    choice: dict[str, object], kind: type[Exception], tmp_path: Path
) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "engines": {"diarize": choice}})
    with pytest.raises(kind):
        needed_models(settings)
