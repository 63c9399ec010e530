"""Folders with a name that we made up are ours alone, or they are refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.runtime.own_folder import FolderRefused, claim


def absent(_folder: Path) -> None:
    """The first start on this machine."""


def private(folder: Path) -> None:
    folder.mkdir(mode=0o700)


def readable(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


@pytest.mark.parametrize("before", [absent, private, readable])
def test_a_folder_of_our_own_is_private(tmp_path: Path, before: Callable[[Path], None]) -> None:
    folder = tmp_path / "headrace-git"
    before(folder)
    claim({"git-cache-path": folder})
    assert folder.stat().st_mode & 0o777 == 0o700


def writable_by_the_group(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def writable_by_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o707)


def link(folder: Path) -> None:
    (folder.parent / "theirs").mkdir(mode=0o700)
    folder.symlink_to("theirs")


def file(folder: Path) -> None:
    folder.write_text("")


REFUSED = {
    "the group writes": (writable_by_the_group, r"others may write to it \(mode 0770\)"),
    "all write": (writable_by_all, r"others may write to it \(mode 0707\)"),
    "a link": (link, "it is a link"),
    "a file": (file, "it cannot be made: File exists"),
}


@pytest.mark.parametrize(("before", "why"), REFUSED.values(), ids=REFUSED)
def test_what_others_could_have_filled_is_refused(
    tmp_path: Path, before: Callable[[Path], None], why: str
) -> None:
    folder = tmp_path / "headrace-git"
    before(folder)
    with pytest.raises(FolderRefused, match=f"^{folder}: {why}.*; remove it, .* --git-cache-path$"):
        claim({"git-cache-path": folder})


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private(folder := tmp_path / "headrace-state")
    us = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: us)
    with pytest.raises(FolderRefused, match=f"it belongs to user {us - 1}, and this process runs as {us}"):
        claim({"state-path": folder})
