"""`python -m lab.demo [--keep] [--svg FILE]`: exits with 0 if every step went well, with 1 otherwise."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lab.background import Background
from lab.demo.display import Display, Plain, Several
from lab.demo.play import opening, play
from lab.demo.remarks import Result
from lab.demo.script import STORY
from lab.demo.stage import Stage
from lab.demo.terminal import Picture, Terminal
from lab.interrupt import heed_interrupts, ignore_interrupts
from lab.stack import Lab, Stack
from lab.state import find, state_file
from lab.tools import MissingTool, Tools
from lab.up import exports


def main(argv: Sequence[str]) -> int:
    asked = _parse(argv)
    heed_interrupts()
    try:
        tools = Tools.from_environment()
    except MissingTool as error:
        print(error, file=sys.stderr)
        return 1
    if asked.keep and find(state_file(os.environ)) is not None:
        print("A lab runs already; `./run down` ends it. Then --keep can leave another one.", file=sys.stderr)
        return 1
    picture = Picture() if asked.svg else None
    display = _display(picture)
    lab: Lab = Background() if asked.keep else Stack(tools)
    leave = failed = False
    try:
        results = _perform(lab, tools, display)
        failed = any(result.state != "ok" for result in results)
        if picture is not None:
            picture.save(Path(asked.svg))
        leave = asked.keep and all(result.state == "ok" for result in results[: len(lab.phases())])
    except KeyboardInterrupt:
        display.close()
        print("\nInterrupted: stopping what was started.", file=sys.stderr, flush=True)
        return 130
    finally:
        ignore_interrupts()
        display.close()
        if not leave:
            lab.stop(keep_logs=failed)
    _say_what_is_left(lab, leave=leave, failed=failed)
    return int(failed)


def _say_what_is_left(lab: Lab, *, leave: bool, failed: bool) -> None:
    if leave:
        print("\nIt runs until `./run down`. To look around:", *exports(lab.place, os.environ), sep="\n")
    elif failed and isinstance(lab, Stack):
        print(f"\nNothing is left running. The logs: {lab.folder}")


def _perform(lab: Lab, tools: Tools, display: Display) -> list[Result]:
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder:
        stage = Stage(lab, tools, Path(folder), display.tell)
        results = play([opening(lab), *STORY], stage, display)
    display.summary(results, time.monotonic() - began_s)
    return results


def _display(picture: Picture | None) -> Display:
    console = Console(highlight=False)
    shown = Terminal(console) if console.is_terminal else Plain(sys.stdout)
    return shown if picture is None else Several([shown, picture])


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run demo", description="Show the main job on a local control plane."
    )
    parser.add_argument("--keep", action="store_true", help="leave it all running; `./run down` ends it")
    parser.add_argument("--svg", metavar="FILE", help="save what was shown as a picture")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
