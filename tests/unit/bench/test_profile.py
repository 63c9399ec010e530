"""Which profiler `./run bench --profile` uses."""

import sys
from pathlib import Path

import pytest

from bench.profile import NoProfiler, profiler

FOUND = {
    "the pinned one": (["venv"], "venv"),
    "another on PATH": (["path"], "path"),
    "the pinned one and another on PATH": (["venv", "path"], "venv"),
}


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment and a PATH without the program."""
    for folder in ("venv", "path"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


@pytest.mark.parametrize(("folders", "used"), FOUND.values(), ids=FOUND)
def test_the_profiler_of_the_virtual_environment_comes_first(
    folders: list[str], used: str, nothing: Path
) -> None:
    for folder in folders:
        (nothing / folder / "py-spy").touch(mode=0o755)
    assert profiler() == str(nothing / used / "py-spy")


@pytest.mark.usefixtures("nothing")
def test_without_it_the_way_to_get_it_is_said() -> None:
    with pytest.raises(NoProfiler, match=r"start through \./run"):
        profiler()
