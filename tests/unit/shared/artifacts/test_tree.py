from shared.artifacts.tree import Tree

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
BASE = Tree.of({"app/web.yaml": A, "app/sub/deep.yaml": A, "top.yaml": A})


def changed(old: Tree, new: Tree) -> set[str]:
    """Names of the folders whose listings differ."""
    return {
        name
        for name in old.folders.keys() | new.folders.keys()
        if old.folders.get(name) != new.folders.get(name)
    }


def test_every_folder_above_a_file_is_there() -> None:
    assert set(BASE.folders) == {".", "app", "app/sub"}


def test_content_does_not_change_a_listing() -> None:
    assert changed(BASE, Tree.of({"app/web.yaml": B, "app/sub/deep.yaml": B, "top.yaml": B})) == set()


def test_a_new_file_changes_its_own_folder_only() -> None:
    assert changed(BASE, Tree.of({**BASE.files, "app/new.yaml": A})) == {"app"}


def test_a_file_that_goes_with_its_folder() -> None:
    files = {name: digest for name, digest in BASE.files.items() if name != "app/sub/deep.yaml"}
    assert changed(BASE, Tree.of(files)) == {"app", "app/sub"}
    assert changed(BASE, Tree.of(files, folders=["app/sub"])) == {"app/sub"}, (
        "the empty folder is still there"
    )


def test_a_file_that_becomes_a_folder() -> None:
    files = {name: digest for name, digest in BASE.files.items() if name != "top.yaml"}
    assert changed(BASE, Tree.of({**files, "top.yaml/x": A})) == {".", "top.yaml"}


def test_names_that_run_together() -> None:
    assert changed(Tree.of({"a": A, "b": A}), Tree.of({"a\nfile b": A})) == {"."}


def test_an_empty_artifact_has_a_root() -> None:
    assert Tree.of({}).folders == Tree.of({}, folders=["."]).folders
    assert set(Tree.of({}).folders) == {"."}
