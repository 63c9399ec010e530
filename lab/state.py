"""What runs in the background, as a file of this checkout that its holder keeps locked.

The lock tells whether it still runs: the kernel drops it with the process, so a file that was left behind
after a crash fools nobody, and neither does a stranger with the same process id.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.stack import Place

_ROOT = Path(__file__).parent.parent
_LOOK_S = 1.0  # nobody but a holder keeps the lock for longer than a look takes


class AlreadyRunning(Exception):
    """Another process holds this checkout's state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    pid: int  # of the holder
    folder: Path  # its data and logs
    place: Place | None  # None while it starts


def state_file(environ: Mapping[str, str]) -> Path:
    """In the XDG state folder, with a name that stands for this checkout."""
    named = environ.get("XDG_STATE_HOME", "")
    folder = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
    return folder / "headrace" / f"lab-{hashlib.sha256(os.fsencode(_ROOT)).hexdigest()[:12]}.json"


def find(file: Path) -> Running | None:
    """What runs, None when nothing does."""
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        return None
    with opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _parse(opened.read())
        return None


class Hold:
    """The lock on the state file, until `release` or the end of this process.

    Raises:
        AlreadyRunning: another process has it.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LOOK_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AlreadyRunning(f"'{file}' is held by another process") from None
                time.sleep(0.02)
            else:
                break

    def write(self, running: Running) -> None:
        place = running.place
        said = {
            "pid": running.pid,
            "folder": str(running.folder),
            "kubeconfig": str(place.kubeconfig) if place else "",
            "gitUrl": place.git_url if place else "",
        }
        text = json.dumps(said).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        os.close(self._descriptor)


def _parse(text: bytes) -> Running | None:
    try:
        said = json.loads(text)
    except ValueError:  # the holder has the lock and has not written yet
        return None
    place = Place(kubeconfig=Path(said["kubeconfig"]), git_url=said["gitUrl"]) if said["gitUrl"] else None
    return Running(pid=said["pid"], folder=Path(said["folder"]), place=place)
