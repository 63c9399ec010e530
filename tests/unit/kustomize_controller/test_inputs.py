import pytest

from kustomize_controller.kustomization.inputs import Inputs, build_key, unchanged
from shared.artifacts.tree import Tree

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64

# An overlay with a base, and a folder without a kustomization file, of which a listing was made.
FILES = {
    "app/kustomization.yaml": A,
    "base/kustomization.yaml": A,
    "base/web.yaml": A,
    "plain/a.yaml": A,
    "unrelated/b.yaml": A,
}
OLD = Tree.of(FILES)
SEEN = Inputs(
    reads=("app/kustomization.yaml", "base/kustomization.yaml", "base/web.yaml", "plain/a.yaml"),
    lists=("plain",),
    misses=("app/Kustomization", "base/Kustomization", "optional", "plain/kustomization.yaml"),
)


def without(*names: str) -> dict[str, str]:
    return {name: digest for name, digest in FILES.items() if name not in names}


SAME = {
    "nothing changed": FILES,
    "an unrelated file changed": {**FILES, "unrelated/b.yaml": B},
    "an unrelated file is new": {**FILES, "unrelated/c.yaml": A, "base/unlisted.yaml": A},
    "an unrelated folder is gone": without("unrelated/b.yaml"),
    "a listed folder's file is the same under the same name": {**FILES, "plain/a.yaml": A},
}
OTHER = {
    "a file that was read changed": {**FILES, "base/web.yaml": B},
    "a file that was read is gone": without("base/web.yaml"),
    "a file that was read is now a folder": {**without("base/web.yaml"), "base/web.yaml/x": A},
    "a listed folder has a new file": {**FILES, "plain/b.yaml": A},
    "a listed folder has a new folder": {**FILES, "plain/sub/b.yaml": A},
    "a listed folder is gone": without("plain/a.yaml"),
    "a name that was missed is there": {**FILES, "app/Kustomization": A},
    "a name that was missed is a folder": {**FILES, "optional/kustomization.yaml": A},
    "everything is gone": {},
}


@pytest.mark.parametrize("files", SAME.values(), ids=SAME)
def test_the_build_is_used_again(files: dict[str, str]) -> None:
    assert unchanged(SEEN, OLD, Tree.of(files))
    assert key(Tree.of(files)) == key(OLD)


@pytest.mark.parametrize("files", OTHER.values(), ids=OTHER)
def test_the_build_is_made_anew(files: dict[str, str]) -> None:
    assert not unchanged(SEEN, OLD, Tree.of(files))
    assert key(Tree.of(files)) != key(OLD)


def test_inputs_that_the_old_artifact_does_not_explain_prove_nothing() -> None:
    assert not unchanged(Inputs(reads=("elsewhere.yaml",)), OLD, OLD)


KEYS: dict[str, dict[str, object]] = {
    "another spec": {"spec_digest": "other"},
    "another engine": {"engine": "engine/2"},
    "a decrypted file": {"overrides": {"base/web.yaml": "hmac:1"}},
    "another decrypted file": {"overrides": {"base/web.yaml": "hmac:2"}},
}


def key(tree: Tree, **changes: object) -> str:
    arguments: dict[str, object] = {"spec_digest": "spec", "engine": "engine/1", "overrides": None} | changes
    return build_key(SEEN, tree, **arguments)  # type: ignore[arg-type]


def test_all_that_enters_a_key_changes_it() -> None:
    keys = {name: key(OLD, **changes) for name, changes in KEYS.items()}
    assert len({key(OLD), *keys.values()}) == len(keys) + 1


def test_an_override_that_was_not_read_does_not_change_a_key() -> None:
    assert key(OLD, overrides={"unrelated/b.yaml": "hmac:1"}) == key(OLD)


def test_the_order_of_inputs_does_not_change_a_key() -> None:
    turned = Inputs(SEEN.reads[::-1], SEEN.lists[::-1], SEEN.misses[::-1])
    assert build_key(turned, OLD, spec_digest="spec", engine="engine/1") == key(OLD)
