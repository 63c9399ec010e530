"""Which steps are missing, in which order, and what refuses the whole set-up. Nothing is done here."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.bootstrap.cache import Cache
from tools.bootstrap.catalogue import TOOLS
from tools.bootstrap.golang import Go
from tools.bootstrap.machine import Platform
from tools.bootstrap.plan import Build, Refuse, Take
from tools.bootstrap.setup import Needs, Seen, Site, steps_for, wanted
from tools.bootstrap.trouble import Trouble

SITE = Site(Path(__file__).parents[3], Cache(Path("/cache/headrace")), Platform("linux", "amd64"), {})
GO = Go(Path("/usr/bin/go"), "1.26.8")
PYTHON = Path("/cache/headrace/venvs/x/bin/python")
TAKEN: dict[str, Take | Build | Refuse] = {tool.name: Take(Path("/cache") / tool.name) for tool in TOOLS}
READY = Seen(PYTHON, GO, wants_go=False, choices=TAKEN)
NOTHING = Seen(None, None, wants_go=True, choices={tool.name: Build() for tool in TOOLS})

CASES: dict[str, tuple[Seen, list[str]]] = {
    "all is there": (READY, []),
    "only Python is asked for": (replace(READY, go=None, choices={}), []),
    "a new lock file": (replace(READY, python=None), ["Python packages"]),
    "a damaged binary": (
        replace(READY, wants_go=True, choices=TAKEN | {"etcd": Build(because="digest mismatch")}),
        ["compile etcd"],
    ),
    "Go is asked for and missing": (replace(READY, go=None, wants_go=True), ["Go 1."]),
    "a fresh machine": (
        NOTHING,
        ["Python packages", "Go 1.", *(f"compile {tool.name} " for tool in TOOLS)],
    ),
    "a fresh machine with Go": (
        replace(NOTHING, go=GO),
        ["Python packages", *(f"compile {tool.name} " for tool in TOOLS)],
    ),
}


@pytest.mark.parametrize(("seen", "names"), CASES.values(), ids=CASES)
def test_missing_steps(seen: Seen, names: list[str]) -> None:
    steps = steps_for(SITE, seen)
    told = [step.task.name for step in steps]
    assert len(told) == len(names), told
    assert all(name.startswith(start) for name, start in zip(told, names, strict=True)), told


def test_a_folder_with_another_version_refuses_before_anything_is_built() -> None:
    seen = replace(NOTHING, choices={**NOTHING.choices, "etcd": Refuse("etcd is 3.5.9", "Remove it.")})
    with pytest.raises(Trouble, match=r"3\.5\.9"):
        steps_for(SITE, seen)


ONLY_TESTS = {"kustomize", "flux"}
WANTED = {
    "a command without a cluster": (Needs(), set()),
    "a control plane": (Needs(binaries=True), {tool.name for tool in TOOLS} - ONLY_TESTS),
    "the tests": (Needs(binaries=True, tests=True), {tool.name for tool in TOOLS}),
}


@pytest.mark.parametrize(("needs", "names"), WANTED.values(), ids=WANTED)
def test_nothing_is_compiled_that_the_command_does_not_run(needs: Needs, names: set[str]) -> None:
    assert {tool.name for tool in wanted(needs)} == names
