"""Where the guard cannot do its work it says so, and starts nothing."""

import subprocess
import sys
from pathlib import Path

GUARD = Path(__file__).parents[3] / "lab" / "guard.py"
ELSEWHERE = """
import ctypes, os, runpy, select, shutil, signal, sys
sys.platform = "darwin"
sys.argv[:2] = [sys.argv[1]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_another_system_is_refused_in_a_sentence(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", f"echo started >{tmp_path}/started"]
    ran = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, GUARD, tmp_path / "log", tmp_path, "", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "The lab needs Linux, where a process can end all that it started; this is darwin.\n"
    )
    assert list(tmp_path.iterdir()) == []
