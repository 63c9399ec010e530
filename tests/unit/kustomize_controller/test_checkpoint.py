"""Checkpoints: what is written is what comes back, and ignored fields that objects have alike are kept
once."""

from pathlib import Path

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
