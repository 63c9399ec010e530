"""The virtual environment: exactly requirements.lock, wheels only, every file against its hash."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.bootstrap.cache import Cache
from tools.bootstrap.keys import venv_key
from tools.bootstrap.machine import Platform, needs_venv_module
from tools.bootstrap.process import quietly
from tools.bootstrap.remove import remove

_MARK = "complete"  # written last: an environment without it was interrupted

# They redirect an installation, from a person's own environment.
_REDIRECTING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIREMENT", "PIP_CONSTRAINT", "PIP_NO_BINARY")


def folder(cache: Cache, lock: Path, here: Platform) -> Path:
    return cache.venvs / venv_key(lock.read_bytes(), sys.version_info[:2], str(here))


def python_in(venv: Path) -> Path | None:
    """Give the environment's interpreter; None if it is missing, unfinished, or its Python is gone."""
    python = venv / "bin" / "python"
    return python if (venv / _MARK).exists() and os.access(python, os.X_OK) else None


def make(venv: Path, lock: Path, cache: Cache, environ: Mapping[str, str], tick: Callable[[], None]) -> None:
    """Make the environment anew. pip's own cache keeps what an interrupted try has downloaded."""
    needs_venv_module()
    remove(venv)
    log = cache.logs / "venv.log"
    env = {name: value for name, value in environ.items() if name not in _REDIRECTING} | {"PIP_USER": "0"}
    argv = [sys.executable, "-m", "venv", str(venv)]
    quietly(argv, cwd=cache.tmp, env=env, log=log, tick=tick, what="Making the virtual environment")
    python = str(venv / "bin" / "python")
    # --no-deps: the lock is the whole list. Wheels only: no compiler is needed, and no setup script runs.
    argv = [
        python,
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
    ]
    argv += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock)]
    quietly(argv, cwd=cache.tmp, env=env, log=log, tick=tick, what="Installing requirements.lock")
    argv = [python, "-m", "pip", "check", "--disable-pip-version-check"]
    quietly(
        argv, cwd=cache.tmp, env=env, log=log, tick=tick, what="Checking that requirements.lock is complete"
    )
    (venv / _MARK).touch()
