"""Folders whose name we made up in a place that all users share, such as /tmp: only our own are used.

Such a name can be foreseen, so another user of the machine could make the folder first, and give us Git
objects, checkpoints or artifacts of theirs. A folder that a flag names is the operator's business: a volume
of a pod belongs to root and is writable for a group.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class FolderRefused(ValueError):
    """A folder that others could have filled; names it, the reason, and the flag that helps."""


def claim(folders: Mapping[str, Path]) -> None:
    """Make each folder for this user alone (0700), or see that it is.

    Args:
        folders: by the flag that would name another one.

    Raises:
        FolderRefused: it belongs to somebody else, others may write to it, or it cannot be made.
    """
    for flag, folder in folders.items():
        try:
            why = _claimed(folder)
        except OSError as error:
            why = f"it cannot be made: {error.strerror or error}"
        if why:
            raise FolderRefused(f"{folder}: {why}; remove it, or name another folder with --{flag}")


def _claimed(folder: Path) -> str:
    """Why the folder cannot be trusted; "" if it can."""
    folder.mkdir(mode=0o700, exist_ok=True)
    seen = folder.lstat()
    if not stat.S_ISDIR(seen.st_mode):
        return "it is a link, and not a folder of our own"
    if seen.st_uid != os.geteuid():
        return f"it belongs to user {seen.st_uid}, and this process runs as {os.geteuid()}"
    if seen.st_mode & _OTHERS_WRITE:
        return f"others may write to it (mode {stat.S_IMODE(seen.st_mode):04o})"
    folder.chmod(0o700)
    return ""
