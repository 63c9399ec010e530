"""Trees that a stranger pushed: which names refuse the commit, and which are left out (A18, A20)."""

import io
from pathlib import Path

import pytest
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.objects import Blob, ShaFile, Tree
from dulwich.objects import Commit as GitCommit
from dulwich.pack import write_pack_objects

from shared.git import tree
from shared.git.errors import ObjectRefused, TooLarge
from shared.git.objects import COMMIT, TREE, Incomplete, Objects

BLOB = Blob.from_string(b"content")


def raw_tree(*entries: tuple[int, bytes, ShaFile]) -> Tree:
    """A tree as it is written, without the checks of a library that means well."""
    data = b"".join(b"%o %s\0%s" % (mode, name, child.sha().digest()) for mode, name, child in entries)
    made = ShaFile.from_raw_string(Tree.type_num, data)
    assert isinstance(made, Tree)
    return made


def commit_of(root: Tree) -> GitCommit:
    commit = GitCommit()
    commit.tree = root.id
    commit.author = commit.committer = b"Ada <ada@example.com>"
    commit.author_time = commit.commit_time = 1_700_000_000
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"First line\n\nmore\n"
    return commit


def stored(folder: Path, *objects: ShaFile) -> Objects:
    pack = io.BytesIO()
    write_pack_objects(pack, list(objects), object_format=DEFAULT_OBJECT_FORMAT)
    made = Objects(folder)
    made.add_pack(pack)
    return made


def snapshot_of(folder: Path, root: Tree, *others: ShaFile) -> tree.Snapshot:
    commit = commit_of(root)
    objects = stored(folder, commit, root, BLOB, *others)
    try:
        return tree.snapshot(objects, commit.id.decode())
    finally:
        objects.close()


REFUSED = {
    "a parent": b"..",
    "itself": b".",
    "no name": b"",
    "a slash": b"a/b",
    "256 bytes": b"x" * 256,
}


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_what_is_no_name_refuses_the_commit(name: bytes, tmp_path: Path) -> None:
    with pytest.raises(ObjectRefused, match="refused entry"):
        snapshot_of(tmp_path, raw_tree((0o100644, name, BLOB)))


LEFT_OUT = {
    ".git": (0o040000, b".git", "a spelling of .git"),
    "upper case": (0o040000, b".GIT", "a spelling of .git"),
    "a blank behind": (0o040000, b".git ", "a spelling of .git"),
    "a dot behind": (0o040000, b".git.", "a spelling of .git"),
    "the NTFS short name": (0o100644, b"git~1", "a spelling of .git"),
    "an NTFS stream": (0o100644, b".git::$INDEX_ALLOCATION", "a spelling of .git"),
    "an invisible character": (0o100644, ".g\u200cit".encode(), "a spelling of .git"),
    "a backslash": (0o100644, b"a\\..\\b", "control character or backslash in the name"),
    "a newline": (0o100644, b"a\nb", "control character or backslash in the name"),
    "not UTF-8": (0o100644, b"\xff", "name is not UTF-8"),
    "a link": (0o120000, b"l", "symbolic link"),
    "a submodule": (0o160000, b"s", "submodule"),
    "a mode of its own": (0o777, b"m", "unknown mode 777"),
}


@pytest.mark.parametrize(("mode", "name", "why"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_dangerous_is_left_out_and_named(mode: int, name: bytes, why: str, tmp_path: Path) -> None:
    entries = sorted([(mode, name, BLOB), (0o100644, b"z", BLOB)], key=lambda entry: entry[1])
    found = snapshot_of(tmp_path, raw_tree(*entries))
    assert [entry.path for entry in found.entries] == ["z"]
    assert [left.why for left in found.left_out] == [why]


def test_an_honest_tree_is_listed_with_its_modes(tmp_path: Path) -> None:
    inner = raw_tree((0o100664, b"old", BLOB), (0o100755, b"run.sh", BLOB))
    found = snapshot_of(tmp_path, raw_tree((0o100644, b".gitignore", BLOB), (0o040000, b"d", inner)), inner)
    assert {(entry.path, entry.folder, entry.executable) for entry in found.entries} == {
        (".gitignore", False, False),
        ("d", True, False),
        ("d/run.sh", False, True),
        ("d/old", False, False),
    }
    assert (found.commit.subject, found.commit.committed_s) == ("First line", 1_700_000_000)


def test_the_same_name_twice_refuses_the_commit(tmp_path: Path) -> None:
    with pytest.raises(ObjectRefused, match="'a' is listed twice"):
        snapshot_of(tmp_path, raw_tree((0o100644, b"a", BLOB), (0o040000, b"a", raw_tree())))


OUT_OF_ORDER = {
    "two files": [(0o100644, b"b", BLOB), (0o100644, b"a", BLOB)],
    "a folder before the file that git puts first": [
        (0o040000, b"a", raw_tree()),
        (0o100644, b"a.b", BLOB),
    ],
}


@pytest.mark.parametrize("entries", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER)
def test_entries_out_of_order_refuse_the_commit(
    entries: list[tuple[int, bytes, ShaFile]], tmp_path: Path
) -> None:
    with pytest.raises(ObjectRefused, match="out of order"):
        snapshot_of(tmp_path, raw_tree(*entries))


def test_a_tree_bomb_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten levels of ten entries: 10^10 paths in two kilobytes."""
    monkeypatch.setattr(tree, "ENTRIES_MAX", 5_000)
    level = raw_tree((0o100644, b"f", BLOB))
    levels = [level]
    for _ in range(10):
        level = raw_tree(*((0o040000, b"%d" % n, level) for n in range(10)))
        levels.append(level)
    with pytest.raises(TooLarge, match="more than 5000 files and folders"):
        snapshot_of(tmp_path, level, *levels[:-1])


def test_folders_deeper_than_any_path_are_refused(tmp_path: Path) -> None:
    level = raw_tree((0o100644, b"f", BLOB))
    levels = [level]
    for _ in range(tree.DEPTH_MAX + 5):
        level = raw_tree((0o040000, b"d", level))
        levels.append(level)
    with pytest.raises(TooLarge, match="nested deeper"):
        snapshot_of(tmp_path, level, *levels[:-1])


def test_an_object_that_is_missing_is_called_incomplete(tmp_path: Path) -> None:
    with pytest.raises(Incomplete):
        snapshot_of(tmp_path, raw_tree((0o040000, b"d", Tree())))


MALFORMED = {
    "no name": b"100644 ",
    "no mode": b"a\0" + bytes(20),
    "half an id": b"100644 a\0" + bytes(10),
    "a mode in words": b"mode a\0" + bytes(20),
    "a mode with a sign": b"+40000 a\0" + bytes(20),
    "a mode as Python writes it": b"0o40000 a\0" + bytes(20),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_tree_is_refused(data: bytes, tmp_path: Path) -> None:
    class Malformed(Objects):
        """What a pack would hold; the library that writes packs refuses to write this one."""

        def read(self, object_id: str) -> tuple[int, bytes]:
            return (COMMIT, b"tree " + b"a" * 40 + b"\n\n") if object_id == "c" * 40 else (TREE, data)

    with pytest.raises(ObjectRefused, match="malformed"):
        tree.snapshot(Malformed(tmp_path), "c" * 40)


def test_a_submodule_keeps_the_commit_that_it_is_to_have(tmp_path: Path) -> None:
    found = snapshot_of(tmp_path, raw_tree((0o160000, b".git", BLOB), (0o160000, b"lib", BLOB)))
    assert [(left.path, left.why, left.commit) for left in found.left_out] == [
        (".git", "a spelling of .git", ""),
        ("lib", tree.SUBMODULE, BLOB.id.decode()),
    ]


def test_a_tree_can_be_listed_below_another_folder(tmp_path: Path) -> None:
    inner = raw_tree((0o100644, b"a", BLOB), (0o120000, b"link", BLOB))
    root = raw_tree((0o040000, b"d", inner))
    commit = commit_of(root)
    objects = stored(tmp_path, commit, root, inner, BLOB)
    found = tree.snapshot(objects, commit.id.decode(), below="vendor/lib/")
    assert [entry.path for entry in found.entries] == ["vendor/lib/d", "vendor/lib/d/a"]
    assert [left.path for left in found.left_out] == ["vendor/lib/d/link"]
    at_the_root = tree.snapshot(objects, commit.id.decode(), found.listings)
    assert [entry.path for entry in at_the_root.entries] == ["d", "d/a"], "what is known lies elsewhere"
    objects.close()
