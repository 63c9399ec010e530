"""Where a binary comes from: the composed rule, over one steady state and what differs from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.bootstrap.catalogue import TOOLS, Tool
from tools.bootstrap.plan import Build, Damaged, Found, Intact, Refuse, Sources, Take, choose

ETCD = next(tool for tool in TOOLS if tool.name == "etcd")
ENGINE = next(tool for tool in TOOLS if tool.name == "engine")
FLUX = next(tool for tool in TOOLS if tool.name == "flux")
CACHED, NAMED, ASSETS = Path("/cache/etcd"), Path("/named/etcd"), Path("/assets/etcd")
RIGHT, OLD = ETCD.version, "3.5.9"
STEADY = Sources(cached=Intact(CACHED))
EMPTY = Sources()

CASES: dict[str, tuple[Tool, Sources, Take | Build]] = {
    "all is in the cache": (ETCD, STEADY, Take(CACHED)),
    "a fresh machine": (ETCD, EMPTY, Build()),
    "a byte of the cached file was edited": (
        ETCD,
        replace(STEADY, cached=Damaged("digest mismatch")),
        Build("digest mismatch; it is built anew"),
    ),
    "HEADRACE_TOOLS has the exact version": (ETCD, replace(STEADY, named=Found(NAMED, RIGHT)), Take(NAMED)),
    "KUBEBUILDER_ASSETS has the exact version": (
        ETCD,
        replace(STEADY, assets=Found(ASSETS, RIGHT)),
        Take(ASSETS),
    ),
    "both folders have the exact version": (
        ETCD,
        Sources(named=Found(NAMED, RIGHT), assets=Found(ASSETS, RIGHT)),
        Take(NAMED),
    ),
    "KUBEBUILDER_ASSETS has another version, of which HEADRACE_TOOLS has the right one": (
        ETCD,
        Sources(named=Found(NAMED, RIGHT), assets=Found(ASSETS, OLD)),
        Take(NAMED),
    ),
    "our own source is never taken from a folder": (
        ENGINE,
        replace(STEADY, named=Found(NAMED, ENGINE.version), assets=Found(ASSETS, ENGINE.version)),
        Take(CACHED),
    ),
}


@pytest.mark.parametrize(("tool", "seen", "plan"), CASES.values(), ids=CASES)
def test_choose(tool: Tool, seen: Sources, plan: Take | Build) -> None:
    assert choose(tool, seen) == plan


UNSET = "unset KUBEBUILDER_ASSETS"
REFUSALS: dict[str, tuple[Tool, Sources, tuple[str, ...]]] = {
    "HEADRACE_TOOLS has another version": (
        ETCD,
        replace(STEADY, named=Found(NAMED, OLD)),
        ("HEADRACE_TOOLS", str(NAMED), OLD, f"etcd {RIGHT}", "remove the file"),
    ),
    "HEADRACE_TOOLS has something that does not run": (
        ETCD,
        replace(STEADY, named=Found(NAMED, None)),
        ("HEADRACE_TOOLS", str(NAMED), "no version", RIGHT),
    ),
    "HEADRACE_TOOLS has another version, of which KUBEBUILDER_ASSETS has the right one": (
        ETCD,
        Sources(named=Found(NAMED, OLD), assets=Found(ASSETS, RIGHT)),
        ("HEADRACE_TOOLS", str(NAMED), OLD),
    ),
    "HEADRACE_TOOLS has a published version of what is completed here": (
        FLUX,
        replace(STEADY, named=Found(NAMED, "2.9.4")),
        ("HEADRACE_TOOLS", "2.9.4", FLUX.version, "remove the file"),
    ),
    "KUBEBUILDER_ASSETS has another version": (
        ETCD,
        replace(STEADY, assets=Found(ASSETS, OLD)),
        ("KUBEBUILDER_ASSETS", str(ASSETS), OLD, f"etcd {RIGHT}", UNSET),
    ),
    "KUBEBUILDER_ASSETS has another version, and the cache is empty": (
        ETCD,
        replace(EMPTY, assets=Found(ASSETS, OLD)),
        ("KUBEBUILDER_ASSETS", OLD, UNSET),
    ),
}


@pytest.mark.parametrize(("tool", "seen", "words"), REFUSALS.values(), ids=REFUSALS)
def test_another_version_is_refused(tool: Tool, seen: Sources, words: tuple[str, ...]) -> None:
    chosen = choose(tool, seen)
    assert isinstance(chosen, Refuse)
    said = f"{chosen.fact} {chosen.remedy}"
    assert [word for word in words if word not in said] == []
