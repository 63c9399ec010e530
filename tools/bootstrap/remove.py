"""Remove a folder of the cache, Go's module cache too, whose folders are read-only."""

import os
import shutil
from pathlib import Path


def remove(path: Path) -> None:
    """Remove a file, link or folder; nothing there is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    if not path.exists():
        return
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path)
