"""`./run COMMAND`: find the command, bring what it needs, become it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tools.bootstrap import cache, machine, stages
from tools.bootstrap.clean import clean
from tools.bootstrap.commands import COMMANDS, lesson, overview
from tools.bootstrap.process import Interrupted, heed_signals
from tools.bootstrap.setup import Ready, Site, set_up
from tools.bootstrap.trouble import Trouble

ROOT = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str]) -> int:
    name, arguments = (argv[0], list(argv[1:])) if argv else ("help", [])
    if name in {"help", "-h", "--help"}:
        print(overview())
        return 0
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        print(f"run: there is no command `{name}`.\n\n{overview()}", file=sys.stderr)
        return 2
    if {"-h", "--help"} & set(arguments):
        print(lesson(command))
        return 0
    site = Site(ROOT, cache.locate(os.environ), machine.platform(), machine.loopback_direct(os.environ))
    if command.name == "clean":
        if unknown := set(arguments) - {"--all", "--yes"}:
            raise Trouble(f"clean does not know {' '.join(sorted(unknown))}.", "See ./run clean --help")
        return clean(site, everything="--all" in arguments, sure="--yes" in arguments)
    ready = set_up(site, command.needs)
    if command.module is not None:
        become(command.module, site, ready, arguments)
    return test(site, ready, arguments)


def test(site: Site, ready: Ready, arguments: Sequence[str]) -> int:
    if arguments:
        chosen = arguments[1:] if arguments[0] == "--" else arguments
        become("pytest", site, ready, chosen)
    assert ready.go is not None  # noqa: S101  `test` needs it
    todo = stages.all_stages(site.root, ready.python, ready.go.path)
    return stages.run(todo, site.root, env=environment(site, ready), go_env=site.go_environment)


def become(module: str, site: Site, ready: Ready, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the command's: signals and exit code are its own from here on."""
    sys.stdout.flush()
    argv = [str(ready.python), "-m", module, *arguments]
    os.execve(argv[0], argv, environment(site, ready))  # noqa: S606


def environment(site: Site, ready: Ready) -> dict[str, str]:
    """Give the environment for what runs in the virtual environment."""
    result = dict(site.environ) | {"VIRTUAL_ENV": str(site.venv)}
    if ready.tools is not None:
        result["HEADRACE_TOOLS_DIR"] = str(ready.tools)
    return result


if __name__ == "__main__":
    heed_signals()
    try:
        code = main(sys.argv[1:])
    except Trouble as trouble:
        print(f"run: {trouble}", file=sys.stderr)
        code = 1
    except Interrupted:
        print(
            "\nrun: stopped. What is finished is kept; the same command goes on from there.", file=sys.stderr
        )
        code = 130
    sys.exit(code)
