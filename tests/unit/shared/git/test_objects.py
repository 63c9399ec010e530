"""The folder of fetched objects: failed and killed fetches leave nothing, and nothing stops the next one."""

import io
from pathlib import Path

import pytest

from shared.git import objects as objects_module
from shared.git.objects import Incomplete, Objects
from tests.harness.packs import BLOB, OFS_DELTA, REF_DELTA, delta, distance, object_id, pack, packed_object

CONTENT = b"content"
ID = object_id(BLOB, CONTENT).hex()
GOOD = pack(packed_object(BLOB, CONTENT))
COMMIT = "1" * 40
# Each passes `inspect` and fails in dulwich: before the pack has its name, or after it.
BAD = {
    "a delta of nothing": pack(
        packed_object(BLOB, b"b"), packed_object(REF_DELTA, delta(9, 9), base=bytes(20))
    ),
    "a delta that its base does not fit": pack(
        first := packed_object(BLOB, CONTENT),
        packed_object(OFS_DELTA, delta(9, 9), base=distance(len(first))),
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tree"


def add(folder: Path, sent: bytes) -> Objects:
    made = Objects(folder)
    made.add_pack(io.BytesIO(sent))
    return made


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_pack_that_cannot_be_indexed_leaves_nothing(folder: Path, bad: bytes) -> None:
    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011  # dulwich's own, which `Remote` translates
            add(folder, bad)
        assert files(folder) == []


def test_a_bad_pack_leaves_the_good_one_before_it(folder: Path) -> None:
    add(folder, GOOD).close()
    before = files(folder)
    with pytest.raises(Exception):  # noqa: B017, PT011  # as above
        add(folder, BAD["a delta of nothing"])
    assert files(folder) == before
    assert Objects(folder).read(ID) == (BLOB, CONTENT)


def test_what_a_kill_leaves_is_gone_with_the_next_pack(folder: Path) -> None:
    """Each moment of an indexing: the temporary pack, the pack without index, the index being written."""
    add(folder, GOOD).close()
    kept = files(folder)
    packs = folder / "objects" / "pack"
    index = next(packs.glob("*.idx"))
    index.rename(index.with_name(index.name + ".lock"))
    (folder / "objects" / "tmp_pack_abc").write_bytes(b"PACK")
    add(folder, GOOD).close()
    assert files(folder) == kept
    assert Objects(folder).read(ID) == (BLOB, CONTENT)


def test_a_kill_while_the_folder_is_made_stops_nothing(folder: Path) -> None:
    (folder / "objects" / "info").mkdir(parents=True)
    assert add(folder, GOOD).read(ID) == (BLOB, CONTENT)


def test_a_discard_that_is_killed_leaves_no_claim(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = add(folder, GOOD)
    made.complete(COMMIT)

    def killed(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        made.discard()
    assert made.head is None


def test_too_many_bytes_start_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = add(folder, GOOD)
    made.complete(COMMIT)
    assert made.size_bytes == len(GOOD)
    made.discard_if_crowded()
    assert made.head == COMMIT
    monkeypatch.setattr(objects_module, "_BYTES_MAX", len(GOOD) - 1)
    made.discard_if_crowded()
    assert (Objects(folder).head, made.size_bytes) == (None, 0)
    with pytest.raises(Incomplete):
        made.read(ID)
