"""What the machine must have: a known system, git with its HTTP backend, a Python that can make a venv."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.process import answer
from tools.bootstrap.trouble import Trouble

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_TRIED = {("linux", "amd64")}
_SUPPORTED = {("linux", "amd64"), ("linux", "arm64")}

# Earlier patch releases have known holes that these closed, tarfile's among them (reliability.md, row A60).
_FLOORS = {(3, 11): 14, (3, 12): 12, (3, 13): 6}


@dataclass(frozen=True, slots=True)
class Platform:
    system: str  # as Go spells them: linux, darwin
    architecture: str  # amd64, arm64

    def __str__(self) -> str:
        return f"{self.system}-{self.architecture}"


def platform(uname: os.uname_result | None = None) -> Platform:
    uname = uname or os.uname()
    machine = uname.machine.lower()
    return Platform(uname.sysname.lower(), _ARCHITECTURES.get(machine, machine))


def platform_note(here: Platform) -> str | None:
    """Say what was not tried on this system; None where everything was."""
    key = (here.system, here.architecture)
    if key in _TRIED:
        return None
    if key in _SUPPORTED:
        return (
            f"Note: {here} is supported, but its pinned packages and binaries were only tried on linux-amd64."
        )
    if here.system == "darwin":
        return (
            "Note: on macOS nothing was tried yet, neither compiling the tools nor the local control plane."
        )
    return f"Note: {here} is not supported. Linux on amd64 and arm64 is; pinned packages may be missing here."


def python_note(version: tuple[int, int, int]) -> str | None:
    """Warn of an interpreter that lacks known security fixes; None if it has them."""
    floor = _FLOORS.get(version[:2])
    if floor is None or version[2] >= floor:
        return None
    have, want = ".".join(map(str, version)), f"{version[0]}.{version[1]}.{floor}"
    return f"Warning: Python {have} lacks security fixes of {want}; fine for a trial, not for serving others."


def needs_venv_module() -> None:
    """Raise Trouble if this Python cannot make a virtual environment with pip in it."""
    if all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        return
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    raise Trouble(
        f"{sys.executable} cannot make virtual environments: its venv or ensurepip module is missing.",
        f"Install it (Debian, Ubuntu: apt-get install python3-venv, or {name}), then run this again.",
    )


def needs_git() -> None:
    """Raise Trouble if git, or its server side for HTTP, is missing."""
    git = shutil.which("git")
    if git is None:
        raise Trouble(
            "git was not found on PATH.",
            "Install it (Debian, Ubuntu: apt-get install git; Fedora: dnf install git).",
        )
    where = (answer([git, "--exec-path"]) or "").strip()
    if not where or not os.access(Path(where) / "git-http-backend", os.X_OK):
        raise Trouble(
            f"git at {git} has no `git http-backend`, which serves repositories to the local control plane.",
            "It is a package of its own on some systems (Alpine: apk add git-daemon). Install it.",
        )


def loopback_direct(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment with loopback excepted from any proxy that it names."""
    result = dict(environ)
    names = ("http_proxy", "https_proxy", "all_proxy")
    if not any(environ.get(name) or environ.get(name.upper()) for name in names):
        return result
    listed = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    hosts = [host.strip() for host in listed if host.strip()]
    hosts += [host for host in ("localhost", "127.0.0.1", "::1") if host not in hosts]
    # Some programs read one spelling, some the other.
    result["no_proxy"] = result["NO_PROXY"] = ",".join(hosts)
    return result
