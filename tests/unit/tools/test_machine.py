"""What is asked of the machine, and the sentences for what it lacks."""

import importlib.util
import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.bootstrap import golang
from tools.bootstrap.cache import Cache, locate, prepare
from tools.bootstrap.disk import shortage
from tools.bootstrap.machine import Platform, loopback_direct, needs_venv_module, platform_note, python_note
from tools.bootstrap.trouble import Trouble, meaning_of

NO_PROXY = "localhost,127.0.0.1,::1"
PROXIES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "no proxy": ({"HOME": "/h"}, {"HOME": "/h"}),
    "a proxy variable that is empty": ({"http_proxy": ""}, {"http_proxy": ""}),
    "a proxy": ({"HTTPS_PROXY": "p"}, {"HTTPS_PROXY": "p", "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY}),
    "a proxy with exceptions": (
        {"http_proxy": "p", "NO_PROXY": "corp.example, localhost"},
        {
            "http_proxy": "p",
            "NO_PROXY": "corp.example,localhost,127.0.0.1,::1",
            "no_proxy": "corp.example,localhost,127.0.0.1,::1",
        },
    ),
}


@pytest.mark.parametrize(("environ", "result"), PROXIES.values(), ids=PROXIES)
def test_loopback_goes_past_a_proxy(environ: dict[str, str], result: dict[str, str]) -> None:
    assert loopback_direct(environ) == result


PYTHONS = {
    "below the floor": ((3, 11, 7), "3.11.14"),
    "just below the floor": ((3, 13, 5), "3.13.6"),
    "at the floor": ((3, 12, 12), None),
    "above the floor": ((3, 11, 15), None),
    "a Python without a floor": ((3, 14, 0), None),
}


@pytest.mark.parametrize(("version", "wanted"), PYTHONS.values(), ids=PYTHONS)
def test_python_note(version: tuple[int, int, int], wanted: str | None) -> None:
    note = python_note(version)
    assert (note is None) if wanted is None else (note is not None and wanted in note)


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else there(name))
    with pytest.raises(Trouble, match="apt-get install python3-venv"):
        needs_venv_module()


PLATFORMS = {
    "tried": (Platform("linux", "amd64"), None),
    "supported": (Platform("linux", "arm64"), "supported"),
    "macOS": (Platform("darwin", "arm64"), "nothing was tried"),
    "unknown": (Platform("linux", "riscv64"), "not supported"),
}


@pytest.mark.parametrize(("here", "words"), PLATFORMS.values(), ids=PLATFORMS)
def test_platform_note(here: Platform, words: str | None) -> None:
    note = platform_note(here)
    assert (note is None) if words is None else (note is not None and words in note)


def test_disk_shortage() -> None:
    cache = locate({"XDG_CACHE_HOME": "/c"})
    assert shortage(5000, 5500, cache.root) is None
    told = str(shortage(5000, 5499, cache.root))
    assert "5.5 GB in /c/headrace" in told
    assert "XDG_CACHE_HOME" in told


def test_a_relative_cache_home_is_ignored() -> None:
    assert locate({"XDG_CACHE_HOME": "cache"}) == locate({})


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's, with a number that no passwd file knows."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(Trouble, match="XDG_CACHE_HOME"):
        locate({})
    assert locate({"XDG_CACHE_HOME": "/c"}).root == Path("/c/headrace")


def test_a_cache_on_a_disk_that_runs_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_NOEXEC))
    with pytest.raises(Trouble, match=r"(?s)mounted `noexec`.*Set XDG_CACHE_HOME"):
        prepare(Cache(tmp_path / "headrace"))


def test_a_cache_where_a_file_is_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Trouble, match=r"(?s)cannot be written to.*XDG_CACHE_HOME"):
        prepare(Cache(tmp_path / "file" / "headrace"))


OUTPUTS = {
    "a full disk": ("link: writing output: no space left on device", "disk is full"),
    "a tampered wheel": (
        "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
        "lock file pins",
    ),
    "a tampered module": ("verifying x@v1: checksum mismatch\nSECURITY ERROR", "go.sum pins"),
    "cut from the proxy": ("x@v1: module lookup disabled by GOPROXY=off", "GOPROXY=off"),
    "no wheel for this Python": ("ERROR: No matching distribution found for uvloop==9", "no wheel"),
    "out of memory": ("compile: signal: killed", "memory"),
    "no network": ("dial tcp: lookup proxy: no such host", "network"),
    "a cache that may not run programs": ("[Errno 13] Permission denied: '/c/go'", "noexec"),
    "anything else": ("syntax error", "again"),
}


@pytest.mark.parametrize(("output", "words"), OUTPUTS.values(), ids=OUTPUTS)
def test_the_meaning_of_a_failure(output: str, words: str) -> None:
    assert words in meaning_of(output)


CACHE = locate({"XDG_CACHE_HOME": "/c"})
GO_ENVIRONMENTS: dict[str, tuple[dict[str, str], dict[str, str | None]]] = {
    "nothing is set": ({}, {"GOMODCACHE": "/c/headrace/go/mod", "GOCACHE": "/c/headrace/go/build"}),
    "a person's own caches": ({"GOMODCACHE": "/m", "GOCACHE": "/b"}, {"GOMODCACHE": "/m", "GOCACHE": "/b"}),
    "a person's flags and proxy": (
        {"GOFLAGS": "-p=1", "GOPROXY": "off"},
        {"GOFLAGS": "-p=1", "GOPROXY": "off"},
    ),
    "a target for other work": ({"GOOS": "windows", "GOARCH": "386"}, {"GOOS": None, "GOARCH": None}),
    "a toolchain that would be fetched": ({"GOTOOLCHAIN": "go1.99"}, {"GOTOOLCHAIN": "local"}),
    "cgo is on": ({"CGO_ENABLED": "1"}, {"CGO_ENABLED": "0"}),
}


@pytest.mark.parametrize(("environ", "result"), GO_ENVIRONMENTS.values(), ids=GO_ENVIRONMENTS)
def test_environment_for_go(environ: dict[str, str], result: dict[str, str | None]) -> None:
    made = golang.environment(environ, CACHE)
    assert {name: made.get(name) for name in result} == result
