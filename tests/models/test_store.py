"""Finding and checking models that lie on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.errors import ModelCorrupt, ModelMissing
from clearcast.models.manifest import MANIFEST_NAME
from clearcast.models.pull import adopt
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate, remove, status, verify
from clearcast.settings import Settings

SPEC = ModelSpec("tiny-test", "someone/tiny-test", ("weights.bin", "config.json"), "MIT")


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A models folder with the model in it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "weights.bin").write_bytes(bytes(range(256)) * 100)
    (source / "config.json").write_text("{}")
    adopt(SPEC, source, Settings.model_validate({"models": {"dir": tmp_path / "models"}}))
    return tmp_path / "models"


def test_a_complete_model_is_located(models_dir: Path) -> None:
    assert locate(SPEC, models_dir) == models_dir / "tiny-test"
    assert status(SPEC, models_dir).state == "ready"


def test_a_missing_model_names_the_command_that_gets_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        locate(SPEC, tmp_path)
    assert caught.value.hint == "Get it with: clearcast models pull tiny-test"
    assert status(SPEC, tmp_path).state == "missing"


def test_files_without_a_manifest_are_not_taken_for_a_model(models_dir: Path) -> None:
    (models_dir / "tiny-test" / MANIFEST_NAME).unlink()
    with pytest.raises(ModelMissing):
        locate(SPEC, models_dir)


@pytest.mark.parametrize("damage", ["gone", "shorter", "unreadable manifest", "spec asks for more"])
def test_a_damaged_model_is_not_located(models_dir: Path, damage: str) -> None:
    folder, spec = models_dir / "tiny-test", SPEC
    if damage == "gone":
        (folder / "config.json").unlink()
    elif damage == "shorter":
        (folder / "weights.bin").write_bytes(b"short")
    elif damage == "unreadable manifest":
        (folder / MANIFEST_NAME).write_text('{"format": 1')
    else:
        spec = ModelSpec(SPEC.name, SPEC.repo, (*SPEC.files, "tokenizer.json"), SPEC.licence)
    with pytest.raises(ModelCorrupt, match="tiny-test"):
        locate(spec, models_dir)
    assert status(spec, models_dir).state == "corrupt"


def test_verify_finds_one_flipped_bit_that_locate_cannot_see(models_dir: Path) -> None:
    path = models_dir / "tiny-test" / "weights.bin"
    content = bytearray(path.read_bytes())
    content[12_345] ^= 4
    path.write_bytes(content)
    locate(SPEC, models_dir)
    with pytest.raises(ModelCorrupt, match=r"weights\.bin"):
        verify(SPEC, models_dir)


def test_verify_reads_every_byte(models_dir: Path) -> None:
    read: list[int] = []
    verify(SPEC, models_dir, read.append)
    assert sum(read) == 25_600 + 2


def test_remove_deletes_the_model_and_says_what_it_freed(models_dir: Path) -> None:
    assert remove(SPEC, models_dir) > 25_600
    assert status(SPEC, models_dir).state == "missing"
    assert remove(SPEC, models_dir) == 0
