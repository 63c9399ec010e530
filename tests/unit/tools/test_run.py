"""`./run` on machines with other Pythons than ours: what it starts, and what it says when it cannot."""

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[3] / "run"
NOT_RUNNING = "exit 127"  # a version manager's shim, for a version that is not installed


def says(version: str) -> str:
    """A Python that tells its version, and shows what it is started with."""
    return f'if [ "$1" = -c ]; then echo "{version}"; else echo "$0 $*"; fi'


def machine(folder: Path, programs: dict[str, str]) -> dict[str, str]:
    """An environment whose PATH has these programs, and of the system what `run` needs before any of them."""
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    for directory in os.defpath.split(":"):
        if (Path(directory) / "dirname").exists() and not (folder / "dirname").exists():
            (folder / "dirname").symlink_to(Path(directory) / "dirname")
    return {"PATH": str(folder)}


def run(environ: dict[str, str], *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", str(RUN), *arguments],
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


STARTED = {
    "the usual one": ({"python3": says("3.12")}, "python3"),
    "the newest that there are wheels for": ({"python3": says("3.14")}, "python3"),
    "another beside one that is too old": (
        {"python3": says("3.9"), "python3.11": says("3.11")},
        "python3.11",
    ),
    "another beside one that is too new": (
        {"python3": says("3.15"), "python3.13": says("3.13")},
        "python3.13",
    ),
    "another beside a shim": ({"python3": NOT_RUNNING, "python3.12": says("3.12")}, "python3.12"),
}


@pytest.mark.parametrize(("programs", "name"), STARTED.values(), ids=STARTED)
def test_a_python_with_wheels_is_started(programs: dict[str, str], name: str, tmp_path: Path) -> None:
    """From any folder, and arguments stay as they are."""
    environ = machine(tmp_path / "bin", programs)
    ran = run(environ, "test", "-k", "a b", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"{tmp_path}/bin/{name} -m tools.bootstrap test -k a b\n"


def test_the_python_that_a_person_names_is_started(tmp_path: Path) -> None:
    environ = machine(tmp_path / "bin", {"python3": says("3.12"), "mine": says("3.13")})
    for named in ("mine", str(tmp_path / "bin" / "mine")):
        ran = run(environ | {"HEADRACE_PYTHON": named}, cwd=tmp_path)
        assert ran.stdout == f"{tmp_path}/bin/mine -m tools.bootstrap\n"


NONE = "no Python from 3.11 to 3.14 was found"
INSTALL = "apt-get install python3 python3-venv"
Refused = tuple[dict[str, str], str, tuple[str, ...]]
REFUSED: dict[str, Refused] = {
    "no Python": ({}, "", (NONE, INSTALL)),
    "a shim alone": ({"python3": NOT_RUNNING}, "", (NONE, INSTALL)),
    "one that is too old": (
        {"python3": says("3.9")},
        "",
        (NONE, "python3 is 3.9, which is too old", INSTALL),
    ),
    "one just too old": ({"python3": says("3.10")}, "", ("python3 is 3.10, which is too old",)),
    "one that is too new": ({"python3": says("3.15")}, "", ("python3 is 3.15, which is too new", INSTALL)),
    "Python 2": ({"python3": says("2.7")}, "", ("python3 is 2.7, which is too old",)),
    "a named file that is missing": (
        {"python3": says("3.12")},
        "/nowhere/python3.12",
        ("HEADRACE_PYTHON names /nowhere/python3.12", "There is no such program", "unset HEADRACE_PYTHON"),
    ),
    "a named program that does not run": (
        {"python3": says("3.12"), "mine": NOT_RUNNING},
        "mine",
        ("HEADRACE_PYTHON names mine", "does not run", "unset HEADRACE_PYTHON"),
    ),
    "a named Python that is too old": (
        {"python3": says("3.12"), "mine": says("3.8")},
        "mine",
        ("HEADRACE_PYTHON names mine", "mine is 3.8, which is too old", "from 3.11 to 3.14"),
    ),
    "a named program that is another": (
        {"python3": says("3.12"), "mine": "echo hello"},
        "mine",
        ("HEADRACE_PYTHON names mine", "mine is no Python"),
    ),
}


@pytest.mark.parametrize(("programs", "named", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_with_a_machines_python(
    programs: dict[str, str], named: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    environ = machine(tmp_path / "bin", programs) | ({"HEADRACE_PYTHON": named} if named else {})
    ran = run(environ, "demo", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert [word for word in words if word not in ran.stderr] == []
