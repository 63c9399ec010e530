"""Checkpoints: what is written is what comes back, and ignored fields that objects have alike are kept
once."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kustomize_controller.kustomization.checkpoint import (
    FORMAT,
    Checkpoints,
    Saved,
    SavedObject,
    SavedRecipe,
)
from kustomize_controller.kustomization.remember import Applied
from shared.api.objects import ObjectId
from shared.kube.ownership import FieldPath, Ownership

UID, CLUSTER = "u-1", "c-1"
RULE: tuple[FieldPath, ...] = tuple(("f:data", f"f:key-{n}") for n in range(100))
OTHER: tuple[FieldPath, ...] = (("f:spec", "f:replicas"),)


def saved(*ignored: tuple[FieldPath, ...]) -> Saved:
    """Of one object for each tuple of ignored fields."""
    ours = Ownership("digest", "2026-01-01T00:00:00Z")
    objects = tuple(
        SavedObject.of(
            ObjectId("", "ConfigMap", "shop", f"a{n}"), Applied("v1", "d", f"u{n}", ours, n, paths)
        )
        for n, paths in enumerate(ignored)
    )
    recipe = SavedRecipe("s", "a", "k", (), (), (), (), "d")
    return Saved(FORMAT, CLUSTER, UID, 1, "main@sha1:0", True, recipe, objects)


def kept(folder: Path, content: Saved) -> tuple[Saved, int]:
    """What comes back, and the size of the file in bytes."""
    checkpoints = Checkpoints(folder)
    checkpoints.begin(CLUSTER)
    checkpoints.save(content)
    found = checkpoints.load(UID)
    assert found is not None
    return found, sum(path.stat().st_size for path in folder.rglob("*.checkpoint"))


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    content = saved(RULE, (), OTHER, RULE, (), OTHER)
    found, _ = kept(tmp_path, content)
    assert found == content
    assert [one.applied.ignored for one in found.objects] == [RULE, (), OTHER, RULE, (), OTHER]


def test_ignored_fields_are_kept_once(tmp_path: Path) -> None:
    _, of_one = kept(tmp_path, saved(RULE))
    found, of_many = kept(tmp_path, saved(*[RULE] * 50))
    assert of_many < 5 * of_one
    assert len({id(one.applied.ignored) for one in found.objects}) == 1


def file_of(folder: Path) -> Path:
    return next(folder.rglob("*.checkpoint"))


def rewritten(**fields: object) -> Callable[[Path], None]:
    """The file says something else than what its name and place say."""

    def spoil(folder: Path) -> None:
        written = msgspec.structs.replace(saved(()), **fields)
        file_of(folder).write_bytes(msgspec.msgpack.encode(written))

    return spoil


def cut(folder: Path) -> None:
    whole = file_of(folder).read_bytes()
    file_of(folder).write_bytes(whole[: len(whole) // 2])


def replace(content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        file_of(folder).write_bytes(content)

    return spoil


def make_a_name_unreadable(folder: Path) -> None:
    file_of(folder).write_bytes(file_of(folder).read_bytes().replace(b"main@sha1:0", b"main@sha1:\xff"))


def point_nowhere(folder: Path) -> None:
    one = msgspec.structs.replace(saved(()).objects[0], ignored=7)
    rewritten(objects=(one,))(folder)


def make_a_folder(folder: Path) -> None:
    at = file_of(folder)
    at.unlink()
    at.mkdir()


SPOILED: dict[str, Callable[[Path], None]] = {
    "of another cluster": rewritten(cluster="c-2"),
    "of another format": rewritten(format=FORMAT + 1),
    "of another Kustomization": rewritten(uid="u-2"),
    "cut short": cut,
    "empty": replace(b""),
    "no msgpack": replace(b"{}"),
    "not UTF-8": make_a_name_unreadable,
    "with ignored fields of an object that it does not have": point_nowhere,
    "no file": make_a_folder,
    "gone": lambda folder: file_of(folder).unlink(),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_what_cannot_be_believed_is_as_good_as_none(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    kept(tmp_path, saved(()))
    spoil(tmp_path)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.begin(CLUSTER)
    assert checkpoints.load(UID) is None
    assert not checkpoints.has(UID)  # so the next run writes one


def test_no_damaged_byte_keeps_the_controller_from_starting(tmp_path: Path) -> None:
    kept(tmp_path, saved(RULE[:1], OTHER))
    file = file_of(tmp_path)
    whole = file.read_bytes()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.begin(CLUSTER)
    for at in range(len(whole)):
        for byte in (b"\x00", b"\x7f", b"\xc1", b"\xff"):
            file.write_bytes(whole[:at] + byte + whole[at + 1 :])
            checkpoints.load(UID)


def test_a_file_that_is_written_anew_as_it_was_is_believed(tmp_path: Path) -> None:
    """The table above spoils what it says, and nothing else."""
    kept(tmp_path, saved(()))
    rewritten()(tmp_path)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.begin(CLUSTER)
    assert checkpoints.load(UID) == saved(())


def test_another_cluster_finds_none_and_leaves_the_first_one_s_alone(tmp_path: Path) -> None:
    kept(tmp_path, saved(()))
    other = Checkpoints(tmp_path)
    other.begin("c-2")
    assert other.load(UID) is None
    other.keep_only([])
    first = Checkpoints(tmp_path)
    first.begin(CLUSTER)
    assert first.load(UID) == saved(())


def test_without_an_identity_of_the_cluster_nothing_is_believed_or_kept(tmp_path: Path) -> None:
    kept(tmp_path, saved(()))
    blind = Checkpoints(tmp_path)
    blind.begin("")
    assert blind.load(UID) is None
    blind.save(msgspec.structs.replace(saved(()), cluster=""))
    assert blind.load(UID) is None
    assert [path.parent.name for path in tmp_path.rglob("*.checkpoint")] == [CLUSTER]
