"""What the README promises is there and works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clearcast.sample import sample_conversation
from clearcast.settings import CONFIG_DIR
from clearcast.storage.voices import VoiceBook, write_voices

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", ["demo", "test", "serve", "check", "bench"])
def test_every_target_of_make_is_there(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_folder_map_names_what_is_there() -> None:
    named = set(re.findall(r"^\| `([a-z]+)/` \|", README, flags=re.MULTILINE))
    assert {"clearcast", "pipelines", "deployments", "streaming", "config", "bench", "tests"} <= named
    assert all((ROOT / folder).is_dir() for folder in named)


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), f"{page} → {target}"


def test_architecture_points_at_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text[text.index("## To change X") : text.index("## Decisions")]
    for path in re.findall(r"`((?:clearcast|pipelines|deployments|bench|config)/[\w/.]+)`", table):
        assert (ROOT / path).exists(), path


def test_the_one_call_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(from pipelines.*?)```", README, flags=re.DOTALL)
    shutil.copyfile(sample_conversation().audio, tmp_path / "meeting.mp3")  # names do not matter
    (tmp_path / "voices.json").write_text(write_voices(VoiceBook()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, list[dict[str, object]]] = {}
    exec(example, names)
    rows = names["rows"]
    assert {row["speaker"] for row in rows} == {"SPEAKER_00", "SPEAKER_01"}
    assert set(rows[0]) == {"start", "end", "speaker", "text"}


def test_profiles_are_data_only() -> None:
    assert {file.suffix for file in CONFIG_DIR.iterdir()} == {".yaml"}
