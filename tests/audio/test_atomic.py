from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.audio.atomic import whole_or_absent


def test_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with whole_or_absent(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        assert temporary.parent == target.parent
        assert not target.exists()
        temporary.write_text("whole", encoding="utf-8")
    assert target.read_text(encoding="utf-8") == "whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with whole_or_absent(tmp_path / "a.txt") as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert list(tmp_path.iterdir()) == []
