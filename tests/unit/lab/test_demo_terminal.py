"""The demo on a terminal: a short story in front of a real one, without a cluster behind it."""

import os
import re
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
DEADLINE_S = 30.0
ROWS, COLUMNS = 40, 100

DEMO = """
import os, signal, subprocess, sys
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell starts in the background
os.close(os.open(os.ttyname(0), os.O_RDWR))  # a session's first terminal is the one whose Ctrl-C it gets
from lab.demo import __main__ as demo
from lab.demo.remarks import Command, Edit, Quote, Seen
from lab.demo.script import Chapter, Step
from lab.stack import Phase

class Lab:
    folder = Path("/logs")

    def __init__(self, tools):
        pass

    def phases(self):
        return (Phase("Control plane", "etcd and an API server", lambda: None),)

    def stop(self, *, keep_logs=False):
        print("stopped")

def push(stage):
    stage.tell(Command("git push origin main"))
    stage.tell(Edit("web.yaml", "tag: 1", "tag: 2"))
    stage.tell(Quote("event", "Deployment/shop/web configured"))
    return Seen("main is 0123", 0.58)

def hang(stage):
    stage.tell(Command("kubectl apply -f sync/"))
    subprocess.run(["/bin/sleep", "600"], timeout=float(sys.argv[1]))

def nothing(stage):
    return Seen("", 1.5)

demo.Stack = Lab
demo.STORY = (
    Chapter("A commit is pushed", (Step("Pushed", push, "git push → pushed"),)), Chapter("Somebody applies",
    (Step("Applied", hang if sys.argv[1] else nothing, "kubectl apply → applied"),)), Chapter("The end",
    (Step("Pruned", nothing, "git push → pruned"),)),
)
sys.exit(demo.main([]))
"""


@dataclass
class Terminal:
    """The other end of a terminal, and what was written to it so far."""

    descriptor: int
    process: "subprocess.Popen[bytes]"
    written: str = ""
    _bytes: bytes = field(default=b"", repr=False)

    def read(self, until: str | None = None) -> str:
        """Read until this was written; None: until the end."""
        while until is None or until not in self.written:
            if not select.select([self.descriptor], [], [], DEADLINE_S)[0]:
                raise AssertionError(
                    f"nothing more for {DEADLINE_S:.0f} s, waiting for {until}:\n{self.written}"
                )
            try:
                more = os.read(self.descriptor, 65_536)
            except OSError:  # Linux: nobody has the terminal open any more
                more = b""
            if not more:
                assert until is None, f"the demo ended before {until!r} was seen:\n{self.written}"
                break
            self._bytes += more
            self.written = self._bytes.decode(errors="ignore")
        return self.written

    def screen(self) -> list[str]:
        """What stands there in the end, from the first line on: rows as a person sees them."""
        rows, row, column = [""], 0, 0
        for code, char in re.findall(r"\x1b\[([?\d;]*[A-Za-z])|(.)", self.written, re.DOTALL):
            if code.endswith("A"):
                row -= int(code[:-1] or 1)
            elif code.endswith("K"):
                rows[row] = ""
            elif char == "\r":
                column = 0
            elif char == "\n":
                row += 1
                rows += [""] * (row - len(rows) + 1)
            elif char:
                rows[row] = rows[row].ljust(column)[:column] + char + rows[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in rows]

    def code(self) -> int:
        return self.process.wait(DEADLINE_S)


@contextmanager
def demo(folder: Path, hangs_s: str = "") -> Iterator[Terminal]:
    """The demo with a story in which a command hangs, if told so, until it is given up."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    environ = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "HEADRACE_TOOLS_DIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", DEMO, hangs_s],
        cwd=ROOT,
        env=environ | {"TMPDIR": str(folder), "HOME": str(folder), "PYTHONIOENCODING": "utf-8"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def has(screen: list[str], *patterns: str) -> None:
    """The patterns are found on lines of the screen, in this order."""
    rest = iter(screen)
    for pattern in patterns:
        assert any(re.search(pattern, line) for line in rest), f"no {pattern!r} in\n" + "\n".join(screen)


SHOWN = (
    r"^A cluster on this machine$",
    r"^ ✓ Control plane +\d\.\d\d s etcd and an API server$",
    r"^A commit is pushed$",
    r"^    \$ git push origin main$",
    r"^    - tag: 1$",
    r"^    \+ tag: 2$",
    r"^    event: Deployment/shop/web configured$",
    r"^ ✓ Pushed +0\.58 s main is 0123$",
    r"^Somebody applies$",
)


def cursor_is_back(written: str) -> bool:
    return written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l") >= 0


def test_what_is_done_stays_and_what_is_under_way_has_a_clock(tmp_path: Path) -> None:
    with demo(tmp_path) as terminal:
        written = terminal.read()
        assert terminal.code() == 0
    screen = terminal.screen()
    has(screen, *SHOWN, r"^ ✓ Applied +1\.50 s$", r"^ ✓ Pruned +1\.50 s$")
    has(screen, r"^Summary$", r"✓ +git push → pushed +0\.58 s$", r"^All 4 steps went well, \d+ s in all\.$")
    assert re.search(r"Pushed … \d\.\d s", written)
    assert "…" not in "".join(screen), "the line of what is under way is gone at the end"
    assert "\x1b[1;32m✓" in written
    assert cursor_is_back(written)
    assert max(map(len, screen)) <= COLUMNS


def test_a_command_that_hangs_ends_the_demo_with_a_summary(tmp_path: Path) -> None:
    with demo(tmp_path, hangs_s="0.2") as terminal:
        terminal.read()
        assert terminal.code() == 1
    screen = terminal.screen()
    has(screen, *SHOWN, r"^ ✗ Applied +sleep 600 did not end within 0\.2 s$")
    has(screen, r"^Summary$", r"✓ +git push", r"✗ +kubectl apply → applied$", r"- +git push → pruned$")
    has(screen, r"^2 of 4 steps failed or were not run, \d+ s in all\.$", "^stopped$")
    assert "The end" not in screen
    assert "Traceback" not in terminal.written


def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    with demo(tmp_path, hangs_s="600") as terminal:
        terminal.read(until="kubectl apply -f sync/")
        os.write(terminal.descriptor, b"\x03")
        written = terminal.read()
        assert terminal.code() == 130
    screen = terminal.screen()
    has(screen, *SHOWN, r"^Interrupted: stopping what was started\.$", r"^stopped$")
    assert cursor_is_back(written)
    assert "Traceback" not in written
    assert "…" not in "".join(screen)
