"""spec.include: which content of another artifact goes where, and what is refused."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from shared.artifacts import archive
from shared.artifacts.store import Store
from shared.git.tree import Entry
from source_controller.content import Part
from source_controller.included import IncludeFailed, Inclusion, include

PATH = "gitrepository/ns/base/aaaa.tar.gz"
LIMIT = 1 << 20
CONTENT: Mapping[str, bytes] = {
    "README.md": b"read me",
    "deploy/app.yaml": b"a: 1",
    "deploy/run.sh*": b"#!/bin/sh",
    "deploy/sub/b.yaml": b"b: 1",
    "empty/": b"",
}
OWN = ("app.yaml", "taken/", "taken/x.yaml")


def members(content: Mapping[str, bytes]) -> Iterator[archive.Member]:
    folders = {"/".join(path.split("/")[:n]) for path in content for n in range(1, path.count("/") + 1)}
    for folder in folders:
        yield archive.Member(folder, folder=True)
    for path, data in content.items():
        if not path.endswith("/"):
            executable = path.endswith("*")
            yield archive.Member(path.rstrip("*"), folder=False, executable=executable, read=data.__bytes__)


class Shelf:
    """A store with one artifact in it, and a folder for what is read from it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.cache = folder / "cache"
        self.base = self.inclusion(CONTENT)  # all of it, in a folder of its name

    def inclusion(self, content: Mapping[str, bytes], *, limit_bytes: int = LIMIT) -> Inclusion:
        with self.store.publish(PATH) as draft:
            archive.write(members(content), draft, limit_bytes=limit_bytes)
        return Inclusion(name="base", path=PATH, digest=draft.stored.digest, from_path="", to_path="base")

    def part_of(self, source: str, target: str) -> Inclusion:
        return msgspec.structs.replace(self.base, from_path=source, to_path=target)

    def lay(self, *wanted: Inclusion, own: tuple[str, ...] = OWN) -> dict[str, bytes | None]:
        """Path -> content of what is included; None for a folder, with `*` behind an executable."""
        entries = tuple(
            Entry(path.rstrip("/"), path.endswith("/"), executable=False, object_id="") for path in own
        )
        present = [Part("", entries, lambda _: b"")]
        with ExitStack() as stack:
            parts = include(wanted, present, self.store, cache=self.cache, limit_bytes=LIMIT, stack=stack)
            assert not list(self.cache.iterdir()), "no name of an archive reaches the disk"
            listed = [(entry, part) for part in parts for entry in part.entries]
            assert len({entry.path for entry, _ in listed}) == len(listed), "nothing is there twice"
            return {
                entry.path + ("*" if entry.executable else ""): None if entry.folder else part.read(entry)
                for entry, part in listed
            }


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


WHERE: dict[str, tuple[str, str, dict[str, bytes | None]]] = {
    "all of it": (
        "",
        "base",
        {
            "base": None,
            "base/README.md": b"read me",
            "base/deploy": None,
            "base/deploy/app.yaml": b"a: 1",
            "base/deploy/run.sh*": b"#!/bin/sh",
            "base/deploy/sub": None,
            "base/deploy/sub/b.yaml": b"b: 1",
            "base/empty": None,
        },
    ),
    "a folder": ("deploy/sub", "libs", {"libs": None, "libs/b.yaml": b"b: 1"}),
    "into a folder that is new": (
        "deploy/sub",
        "a/b/c",
        {"a": None, "a/b": None, "a/b/c": None, "a/b/c/b.yaml": b"b: 1"},
    ),
    "into a folder that is there": ("deploy/sub", "taken/c", {"taken/c": None, "taken/c/b.yaml": b"b: 1"}),
    "dots and slashes": ("./deploy//sub/", "/libs/.", {"libs": None, "libs/b.yaml": b"b: 1"}),
    "up, and down again": ("x/../deploy/sub", "a/../libs", {"libs": None, "libs/b.yaml": b"b: 1"}),
    "one file": ("deploy/app.yaml", "base.yaml", {"base.yaml": b"a: 1"}),
    "an empty folder": ("empty", "nothing", {"nothing": None}),
}


@pytest.mark.parametrize(("source", "target", "expected"), WHERE.values(), ids=WHERE)
def test_what_goes_where(source: str, target: str, expected: dict[str, bytes | None], shelf: Shelf) -> None:
    wanted = shelf.part_of(source, target)
    assert shelf.lay(wanted) == expected


def test_a_repository_without_files_takes_an_include_at_its_root(shelf: Shelf) -> None:
    wanted = shelf.part_of("deploy/sub", ".")
    assert shelf.lay(wanted, own=()) == {"b.yaml": b"b: 1"}


def test_one_include_may_lie_in_another(shelf: Shelf) -> None:
    inner = shelf.part_of("deploy/sub", "base/inner")
    found = shelf.lay(shelf.base, inner)
    assert found["base/inner/b.yaml"] == b"b: 1"
    assert found["base/README.md"] == b"read me"


def test_a_file_whose_folder_was_ignored_comes_with_its_folder(shelf: Shelf) -> None:
    """A file can be brought back from an ignored folder, which then has no entry."""
    with shelf.store.publish(PATH) as draft:
        lone = archive.Member("a/b/c.yaml", folder=False, read=b"c: 1".__bytes__)
        archive.write([lone], draft, limit_bytes=LIMIT)
    wanted = Inclusion(name="base", path=PATH, digest=draft.stored.digest, from_path="a", to_path="x")
    assert shelf.lay(wanted) == {"x": None, "x/b": None, "x/b/c.yaml": b"c: 1"}


REFUSED: dict[str, tuple[str, str, str, str]] = {
    "a target outside": ("", "../x", "IllegalPath", "path calculation for include 'base' failed: "),
    "a target outside, later": (
        "",
        "a/../../x",
        "IllegalPath",
        "path calculation for include 'base' failed: ",
    ),
    "a source outside": ("../../other", "x", "IllegalPath", "path calculation for include 'base' failed: "),
    "a spelling of .git": ("", "x/.GIT/hooks", "IllegalPath", "path calculation for include 'base' failed: "),
    "a control character": ("", "x\ny", "IllegalPath", "path calculation for include 'base' failed: "),
    "a source that is not there": (
        "nope",
        "x",
        "CopyFailure",
        "failed to copy 'base' include from nope to x: ",
    ),
    "the beginning of a source's name": (
        "deplo",
        "x",
        "CopyFailure",
        "failed to copy 'base' include from deplo to x: ",
    ),
    "a folder that is not empty": (
        "",
        "taken",
        "CopyFailure",
        "failed to copy 'base' include from  to taken: ",
    ),
    "a file that is there": (
        "",
        "app.yaml",
        "CopyFailure",
        "failed to copy 'base' include from  to app.yaml: ",
    ),
    "below a file": ("", "app.yaml/x", "CopyFailure", "failed to copy 'base' include from  to app.yaml/x: "),
    "over everything": ("", ".", "CopyFailure", "failed to copy 'base' include from  to .: "),
}


@pytest.mark.parametrize(("source", "target", "reason", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(source: str, target: str, reason: str, text: str, shelf: Shelf) -> None:
    wanted = shelf.part_of(source, target)
    with pytest.raises(IncludeFailed) as raised:
        shelf.lay(wanted)
    assert raised.value.reason == reason
    assert str(raised.value).startswith(text)


def test_the_same_place_twice_is_refused(shelf: Shelf) -> None:
    with pytest.raises(IncludeFailed, match="'base' is in the artifact already"):
        shelf.lay(shelf.base, shelf.base)


DAMAGED: dict[str, tuple[str, str]] = {
    "other bytes than its digest says": ("sha256:" + "0" * 64, "does not have the digest"),
    "no digest": ("md5:x", "unknown digest algorithm"),
}


@pytest.mark.parametrize(("digest", "text"), DAMAGED.values(), ids=DAMAGED)
def test_only_verified_bytes_are_read(digest: str, text: str, shelf: Shelf) -> None:
    with pytest.raises(IncludeFailed, match=text) as raised:
        shelf.lay(msgspec.structs.replace(shelf.base, digest=digest))
    assert raised.value.reason == "CopyFailure"


def test_an_artifact_that_is_gone_is_named(shelf: Shelf) -> None:
    shelf.store.remove(PATH)
    with pytest.raises(IncludeFailed, match=f"{PATH}: No such file"):
        shelf.lay(shelf.base)


def test_the_limit_counts_for_all_includes_together(shelf: Shelf) -> None:
    half = shelf.inclusion({"x/a": bytes(LIMIT // 2), "y/b": bytes(LIMIT // 2)})
    first, second, third = (
        msgspec.structs.replace(half, from_path=source, to_path=target)
        for source, target in (("x", "1"), ("y", "2"), ("x", "3"))
    )
    assert {"1/a", "2/b"} < set(shelf.lay(first, second))
    with pytest.raises(IncludeFailed, match="exceeds 1 MiB"):
        shelf.lay(first, second, third)


def test_the_limit_counts_for_what_is_included(shelf: Shelf) -> None:
    large = shelf.inclusion(
        {"a": bytes(LIMIT // 2), "b": bytes(LIMIT // 2), "c": b"1"}, limit_bytes=2 * LIMIT
    )
    with pytest.raises(IncludeFailed, match="exceeds 1 MiB"):
        shelf.lay(large)
