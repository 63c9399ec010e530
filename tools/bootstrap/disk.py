"""Is there room for what is about to be built? Asked before: what fails on a full disk may not say so."""

import shutil
from pathlib import Path

from tools.bootstrap.trouble import Trouble

MARGIN_MB = 500  # a guess: other programs write meanwhile


def shortage(needed_mb: int, free_mb: int, folder: Path) -> Trouble | None:
    if free_mb >= needed_mb + MARGIN_MB:
        return None
    return Trouble(
        f"What is to be built needs up to {gigabytes(needed_mb + MARGIN_MB)} in {folder};"
        f" {gigabytes(free_mb)} is free.",
        "Free some space (`./run clean` shows what this cache could give), or set XDG_CACHE_HOME elsewhere.",
    )


def free_mb(folder: Path) -> int:
    return shutil.disk_usage(folder).free // 1_000_000


def gigabytes(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"
