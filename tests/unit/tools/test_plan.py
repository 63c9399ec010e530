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

CASES: dict[str, tuple[Tool, Sources, Take | Build | None]] = {
    "all is in the cache": (ETCD, STEADY, Take(CACHED)),
    "a fresh machine": (ETCD, EMPTY, Build()),
    "a byte of the cached file was edited": (
        ETCD,
        replace(STEADY, cached=Damaged("digest mismatch")),
        Build("digest mismatch; it is built anew"),
    ),
    "HEADRACE_TOOLS has the exact version": (ETCD, replace(STEADY, named=Found(NAMED, RIGHT)), Take(NAMED)),
    "HEADRACE_TOOLS has another version": (ETCD, replace(STEADY, named=Found(NAMED, OLD)), None),
    "HEADRACE_TOOLS has something that does not run": (ETCD, replace(STEADY, named=Found(NAMED, None)), None),
    "HEADRACE_TOOLS has a published version of what is completed here": (
        FLUX,
        replace(STEADY, named=Found(NAMED, "2.9.4")),
        Take(CACHED),
    ),
    "KUBEBUILDER_ASSETS has the exact version": (
        ETCD,
        replace(STEADY, assets=Found(ASSETS, RIGHT)),
        Take(ASSETS),
    ),
    "KUBEBUILDER_ASSETS has another version": (
        ETCD,
        replace(STEADY, assets=Found(ASSETS, OLD)),
        Take(CACHED),
    ),
    "KUBEBUILDER_ASSETS has another version, and the cache is empty": (
        ETCD,
        replace(EMPTY, assets=Found(ASSETS, OLD)),
        Build(),
    ),
    "both folders have the exact version": (
        ETCD,
        Sources(named=Found(NAMED, RIGHT), assets=Found(ASSETS, RIGHT)),
        Take(NAMED),
    ),
    "our own source is never taken from a folder": (
        ENGINE,
        replace(STEADY, named=Found(NAMED, ENGINE.version), assets=Found(ASSETS, ENGINE.version)),
        Take(CACHED),
    ),
}


@pytest.mark.parametrize(("tool", "seen", "plan"), CASES.values(), ids=CASES)
def test_choose(tool: Tool, seen: Sources, plan: Take | Build | None) -> None:
    chosen = choose(tool, seen)
    if plan is None:
        assert isinstance(chosen, Refuse)
        assert str(NAMED) in chosen.fact
        assert RIGHT in chosen.fact
    else:
        assert chosen == plan
