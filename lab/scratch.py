"""Folders for what is written much and kept for one run: in memory where there is room."""

import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  # mkdtemp makes the name


def scratch_folder(name: str, *, room_bytes: int, otherwise: Path | None = None) -> Path:
    """A new folder for `name`, on tmpfs if that has `room_bytes` free, else in `otherwise` or among the
    system's temporary files. The caller removes it."""
    try:
        if shutil.disk_usage(_MEMORY).free > room_bytes:
            return Path(tempfile.mkdtemp(prefix=f"headrace-{name}-", dir=_MEMORY))
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=otherwise))
