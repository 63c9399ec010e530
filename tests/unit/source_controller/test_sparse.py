"""spec.sparseCheckout: which paths belong, and which folder is missing."""

import pytest

from shared.git.tree import Entry
from source_controller.sparse import Sparse, SparseMissing

PATHS = (
    "README.md",
    "app/",
    "app/a.yaml",
    "app/sub/",
    "app/sub/b.yaml",
    "apple/",
    "apple/c.yaml",
    "x/",
    "x/y/",
    "x/y/z",
)


def entries() -> list[Entry]:
    return [Entry(path.rstrip("/"), path.endswith("/"), executable=False, object_id="") for path in PATHS]


SELECTED: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "nothing is listed": ((), {path.rstrip("/") for path in PATHS}),
    "a folder": (("app",), {"app", "app/a.yaml", "app/sub", "app/sub/b.yaml"}),
    "a dot and a slash in front": (("./app",), {"app", "app/a.yaml", "app/sub", "app/sub/b.yaml"}),
    "a slash behind": (("app/",), {"app", "app/a.yaml", "app/sub", "app/sub/b.yaml"}),
    "a folder within a folder": (("app/sub",), {"app", "app/sub", "app/sub/b.yaml"}),
    "two": (("x/y", "apple"), {"x", "x/y", "x/y/z", "apple", "apple/c.yaml"}),
    "one within the other": (("app", "app/sub"), {"app", "app/a.yaml", "app/sub", "app/sub/b.yaml"}),
    "a file": (("app/a.yaml",), {"app", "app/a.yaml"}),
    "all of it": (("./",), {path.rstrip("/") for path in PATHS}),
    "all of it, and a folder": ((".", "app"), {path.rstrip("/") for path in PATHS}),
}


@pytest.mark.parametrize(("listed", "paths"), SELECTED.values(), ids=SELECTED)
def test_what_belongs(listed: tuple[str, ...], paths: set[str]) -> None:
    sparse = Sparse(listed)
    sparse.check(entries())
    assert {entry.path for entry in sparse.select(entries())} == paths


MISSING: dict[str, tuple[tuple[str, ...], str]] = {
    "the beginning of a name": (("ap",), "ap"),
    "the second": (("app", "./nope"), "nope"),
    "outside": (("../app",), "../app"),
    "from the root of a file system": (("/app",), "/app"),
    "below a file": (("README.md/x",), "README.md/x"),
    "a pattern": (("app/*",), "app/*"),
}


@pytest.mark.parametrize(("listed", "named"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_as_flux_names_it(listed: tuple[str, ...], named: str) -> None:
    with pytest.raises(SparseMissing) as raised:
        Sparse(listed).check(entries())
    told = "failed to sparse checkout directories : sparse checkout dir "
    assert str(raised.value).startswith(f"{told}'{named}' does not exist in repository: ")
