"""On PYTHONPATH, it makes a Python process note what it writes: a path a line, in the file $NOTE_WRITES_IN.

Children do not inherit it. Paths that are relative to an open folder are not noted: that folder was.
"""

import os
import sys

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod")
_notes = os.open(os.environ["NOTE_WRITES_IN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _note(event: str, args: tuple[object, ...]) -> None:
    if event == "open":
        path, flags = args[0], args[2]
        is_write = isinstance(flags, int) and bool(flags & _WRITING)
    else:
        path, is_write = args[0] if args else None, event in _CHANGES and args[-1] in (-1, None)
    if is_write and isinstance(path, str | bytes | os.PathLike):
        os.write(_notes, os.fsencode(os.path.abspath(path)) + b"\n")  # noqa: PTH100  # no Path in a hook


sys.addaudithook(_note)
