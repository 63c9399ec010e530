"""The file store: whole artifacts or none, what is collected, and what damage is noticed (F17, F18, F19)."""

import os
from pathlib import Path

import pytest

from shared.artifacts.digest import Digester
from shared.artifacts.store import Draft, Retention, Store, StoreError, folder_of

FOLDER = folder_of("GitRepository", "ns", "app")
PATH = f"{FOLDER}/aaaa.tar.gz"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


def publish(store: Store, path: str = PATH, content: bytes = b"content") -> str:
    with store.publish(path) as draft:
        draft.write(content)
    return draft.stored.digest


def test_layout_and_modes_are_those_of_the_contract(store: Store, tmp_path: Path) -> None:
    publish(store)
    file = tmp_path / "data/gitrepository/ns/app/aaaa.tar.gz"
    assert file.read_bytes() == b"content"
    assert file.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in file.parents[:3]} == {0o700}


def fail_half_way(store: Store) -> None:
    with store.publish(PATH) as draft:
        draft.write(b"half")
        raise RuntimeError


def test_a_writer_that_fails_leaves_the_old_artifact(store: Store, tmp_path: Path) -> None:
    digest = publish(store)
    with pytest.raises(RuntimeError):
        fail_half_way(store)
    assert store.holds(PATH, digest, 7)
    assert {path.name for path in (tmp_path / "data" / FOLDER).iterdir()} == {
        "aaaa.tar.gz",
        "aaaa.tar.gz.lock",
    }


def test_what_a_killed_writer_left_is_swept(store: Store, tmp_path: Path) -> None:
    digest = publish(store)
    left = tmp_path / "data" / FOLDER / ".aaaa.tar.gz.x1.tmp"
    left.write_bytes(b"half")
    store.sweep()
    assert not left.exists()
    assert store.holds(PATH, digest, None)


DAMAGE = {
    "a flipped bit": lambda file: file.write_bytes(b"cOntent"),
    "cut off": lambda file: os.truncate(file, 3),
    "lost power after the rename": lambda file: os.truncate(file, 0),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_noticed(damage: "type[Path]", store: Store, tmp_path: Path) -> None:
    digest = publish(store)
    assert store.holds(PATH, digest, 7)
    damage(tmp_path / "data" / PATH)
    assert not store.holds(PATH, digest, 7)


def test_an_unchanged_file_is_read_once(store: Store, tmp_path: Path) -> None:
    digest = publish(store)
    file = tmp_path / "data" / PATH
    assert store.holds(PATH, digest, 7)
    seen = file.stat()
    file.write_bytes(b"cOntent")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert store.holds(PATH, digest, 7), "same file, size and time: not read again"
    assert not Store(tmp_path / "data").holds(PATH, digest, 7), "a new process reads it"


PATHS = {"up": "../x", "absolute": "/etc/passwd", "empty": "", "dots inside": "a/../../b", "NUL": "a\0b"}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_status_that_others_wrote_leads_nowhere(path: str, store: Store) -> None:
    assert not store.holds(path, "sha256:" + "0" * 64, None)
    assert not store.exists(path)
    with pytest.raises(StoreError):
        store.remove(path)


NOW = 1_000_000.0
# Ages in seconds of files a, b, c, …; the current artifact is "a". Which stay?
AGES = {
    "all young": ({"a": 0, "b": 10}, {"a", "b"}),
    "one is too old": ({"a": 0, "b": 70}, {"a"}),
    "too many": ({"a": 0, "b": 10, "c": 20, "d": 30, "e": 40}, {"a", "b"}),
    "the current one may be as old as it likes": ({"a": 9000, "b": 10}, {"a", "b"}),
    "a younger one that no status names yet": ({"a": 9, "b": 1, "c": 5}, {"a", "b"}),
    "a draft that is being written": ({"a": 0, "b": 1, ".d.x.tmp": 3}, {"a", "b", ".d.x.tmp"}),
    "a draft that nobody writes any more": ({"a": 0, ".d.x.tmp": 100}, {"a"}),
    "the current one is gone": ({"b": 10, "c": 20, "d": 30}, {"b", "c"}),
}


@pytest.mark.parametrize(("ages", "stay"), AGES.values(), ids=AGES)
def test_what_is_collected(ages: dict[str, int], stay: set[str], store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "data" / FOLDER
    folder.mkdir(parents=True)
    for name, age in ages.items():
        (folder / name).write_bytes(b"x")
        (folder / f"{name}.lock").touch()
        os.utime(folder / name, (NOW - age, NOW - age))
    removed = store.collect(FOLDER, keep=f"{FOLDER}/a", retention=Retention(ttl_s=60, records=2), now_s=NOW)
    assert {path.name for path in folder.iterdir()} == stay | {f"{name}.lock" for name in stay}
    assert set(removed) == set(ages) - stay


@pytest.mark.parametrize("records", [0, 1, -1])
def test_no_retention_removes_the_current_one(records: int, store: Store, tmp_path: Path) -> None:
    publish(store)
    publish(store, f"{FOLDER}/older.tar.gz")
    removed = store.collect(FOLDER, keep=PATH, retention=Retention(ttl_s=0, records=records), now_s=NOW * 1e4)
    assert removed == ["older.tar.gz"]
    assert store.exists(PATH)


def test_an_artifact_is_opened_only_if_its_bytes_are_right(store: Store, tmp_path: Path) -> None:
    digest = publish(store)
    with store.open(PATH, digest) as file:
        store.remove(PATH)
        assert file.read() == b"content", "who reads it reads on"
    publish(store)
    (tmp_path / "data" / PATH).write_bytes(b"cOntent")
    with pytest.raises(StoreError, match="does not have the digest"), store.open(PATH, digest):
        pass
    with pytest.raises(StoreError, match="No such file"), store.open(f"{FOLDER}/other", digest):
        pass
    with pytest.raises(StoreError, match="unknown digest algorithm"), store.open(PATH, "md5:x"):
        pass


def test_links_are_not_followed_when_collecting(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("x")
    folder = tmp_path / "data" / FOLDER
    folder.mkdir(parents=True)
    (folder / "latest.tar.gz").symlink_to(target)
    store.collect(FOLDER, keep=None, retention=Retention(ttl_s=0, records=0), now_s=NOW * 10)
    assert (folder / "latest.tar.gz").is_symlink()
    assert target.exists()


def test_a_store_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=f"{tmp_path}/data/.*: Not a directory"):
        publish(Store(tmp_path / "data"))


def test_a_full_disk_names_the_free_space(tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC."""
    told = r"No space left on device \(\d+ MiB free; give --storage-path more room\)"
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115  # closed below
    draft = Draft(full, Digester(), str(tmp_path))
    with full, pytest.raises(StoreError, match=told):
        draft.write(b"x")


def test_deleting_an_object_removes_all_of_it(store: Store, tmp_path: Path) -> None:
    publish(store)
    publish(store, f"{FOLDER}-other/b.tar.gz")
    store.remove_folder(FOLDER)
    assert not (tmp_path / "data" / FOLDER).exists()
    assert store.exists(f"{FOLDER}-other/b.tar.gz")
    store.remove_folder(FOLDER)  # again: nothing to do
