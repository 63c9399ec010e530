"""The archive: the same bytes for the same tree, in the contract's format, and readable by others' tar."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.artifacts.archive import ArchiveError, Member, write
from shared.artifacts.unpack import unpack

LIMIT = 1 << 20


def file(path: str, content: bytes = b"x", *, executable: bool = False) -> Member:
    return Member(path, folder=False, executable=executable, read=lambda: content)


def folder(path: str) -> Member:
    return Member(path, folder=True)


def archived(*members: Member) -> bytes:
    sink = io.BytesIO()
    write(members, sink, limit_bytes=LIMIT)
    return sink.getvalue()


TREE = (folder("b"), file("b/run.sh", b"#!", executable=True), file("a.yaml", b"a: 1\n"), folder("empty"))


def test_the_format_is_that_of_the_contract() -> None:
    with tarfile.open(fileobj=io.BytesIO(archived(*TREE))) as tar:
        listed = [(member.name, member.type, oct(member.mode), member.size) for member in tar.getmembers()]
        owners = {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in tar}
    assert listed == [
        (".", tarfile.DIRTYPE, "0o750", 0),
        ("a.yaml", tarfile.REGTYPE, "0o600", 5),
        ("b", tarfile.DIRTYPE, "0o750", 0),
        ("b/run.sh", tarfile.REGTYPE, "0o700", 2),
        ("empty", tarfile.DIRTYPE, "0o750", 0),
    ]
    assert owners == {(0, 0, "", "", 0)}


def test_the_same_tree_gives_the_same_bytes_in_any_order() -> None:
    assert archived(*TREE) == archived(*reversed(TREE))


def test_folders_are_walked_one_by_one() -> None:
    """ "a-b" sorts before "a/b" as text, but after folder "a" in a walk."""
    raw = archived(folder("a"), file("a/b"), file("a-b"))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert tar.getnames() == [".", "a", "a/b", "a-b"]


NAMES = {
    "longer than a name field": "d" * 60 + "/" + "f" * 60,
    "longer than USTAR can split": "f" * 120,
    "longer than all fields": "/".join(["d" * 50] * 10),
    "not ASCII": "größe/文件.yaml",
    "not ASCII and long": "ü" * 90 + "/" + "f" * 100,
}


@pytest.mark.parametrize("path", NAMES.values(), ids=NAMES)
def test_any_name_survives(path: str, tmp_path: Path) -> None:
    raw = archived(file(path, b"content"))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert tar.getnames() == [".", path]
    unpack(io.BytesIO(raw), tmp_path, limit_bytes=LIMIT)
    assert (tmp_path / path).read_bytes() == b"content"


def test_more_than_the_limit_is_refused() -> None:
    with pytest.raises(ArchiveError, match="the files together exceed 1 MiB at 'b'"):
        archived(file("a", bytes(LIMIT)), file("b"))


names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cc", "Cs"]), min_size=1
)
plain_names = names.filter(lambda name: name not in (".", "..") and len(name.encode()) <= 200)


@given(st.dictionaries(plain_names, st.binary(max_size=2000), max_size=8))
def test_what_is_written_is_what_is_read(contents: dict[str, bytes]) -> None:
    raw = archived(*(file(path, content) for path, content in contents.items()))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        read = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        assert {name: handle.read() for name, handle in read.items() if handle is not None} == contents
