"""A module that lacks a file of its own package is copied with it; Go's cache stays as it was."""

import json
from pathlib import Path

import pytest

from tools.bootstrap.catalogue import TOOLS
from tools.bootstrap.complete import complete
from tools.bootstrap.golang import Go
from tools.bootstrap.trouble import Trouble

FLUX = next(tool for tool in TOOLS if tool.name == "flux")


def go_that(root: Path, script: str) -> Go:
    path = root / "go"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return Go(path, "1.26.8")


def attempt(root: Path, script: str) -> Path:
    into = root / "copy"
    complete(FLUX, root, into, go=go_that(root, script), env={}, log=root / "log", tick=lambda: None)
    return into


def test_the_copy_has_what_the_module_lacks(tmp_path: Path) -> None:
    module = tmp_path / "module@v1"
    package = module / "cmd" / "flux"
    package.mkdir(parents=True)
    (package / "main.go").write_text("package main\n")
    for folder in (package, package.parent, module):
        folder.chmod(0o500)  # as Go's module cache is
    into = attempt(tmp_path, f"echo 'go: downloading' >&2; echo '{json.dumps({'Dir': str(module)})}'")
    assert (into / "cmd/flux/main.go").read_text() == "package main\n"
    assert (into / FLUX.lacks).read_text().startswith("#")
    assert not (module / FLUX.lacks).exists()


REFUSED = {
    "other bytes than go.sum pins": ("echo 'verifying: checksum mismatch'; exit 1", "Do not go around this"),
    "an answer without a folder": ("echo '{}'", "names no folder"),
}


@pytest.mark.parametrize(("script", "text"), REFUSED.values(), ids=REFUSED)
def test_nothing_is_copied(script: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=text):
        attempt(tmp_path, script)
    assert not (tmp_path / "copy").exists()
