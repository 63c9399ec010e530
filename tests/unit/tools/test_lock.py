"""One run at a time builds, whatever happens to the one before."""

import subprocess
import sys
import threading
from pathlib import Path

from tools.bootstrap.lock import exclusive

DEADLINE_S = 20.0
ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from tools.bootstrap.lock import exclusive
with exclusive(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    waiting, entered = threading.Event(), threading.Event()
    told: list[str] = []

    def second() -> None:
        def on_wait(holder: str) -> None:
            told.append(holder)
            waiting.set()

        with exclusive(tmp_path / "lock", on_wait):
            entered.set()

    run = threading.Thread(target=second, daemon=True)
    with exclusive(tmp_path / "lock", told.append):
        run.start()
        assert waiting.wait(DEADLINE_S), "the second run did not say that it waits"
        assert not entered.wait(0.1)
    assert entered.wait(DEADLINE_S), "the second run did not go on after the first"
    run.join(DEADLINE_S)
    assert len(told) == 1
    assert told[0].isdigit(), f"it names the process that it waits for, but said {told[0]!r}"


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait(DEADLINE_S)
    waited: list[str] = []
    with exclusive(tmp_path / "lock", waited.append):
        pass
    assert waited == []
