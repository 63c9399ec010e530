"""`python -m bench`: run the phases that were asked for, one after the other, and report."""

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import phases, report
from bench.board import NotReached
from bench.load import Load
from bench.profile import NoProfiler, Profile, profiler
from bench.result import Phase, Result
from bench.watch import Refused, WatchBroken
from bench.world import CONTROLLERS, World, say, world
from lab.processes import ProcessFailed
from lab.tools import MissingTool
from lab.worktree import GitFailed

_EXPECTED = (NotReached, NoProfiler, Refused, WatchBroken, ProcessFailed, MissingTool, GitFailed, OSError)
_NAMES = ("cold", "push_one", "push_all", "drift", "restart", "steady")


def main(argv: Sequence[str]) -> int:
    options = _options(argv)
    try:
        program = profiler() if options.profile else None
        result = asyncio.run(_run(Load.of(options.n, options.namespaces), options, program))
    except _EXPECTED as error:
        say(f"bench failed: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    print(report.tables(result))
    if options.json:
        options.json.write_text(report.to_json(result))
    return 0


async def _run(load: Load, options: argparse.Namespace, program: str | None) -> Result:
    known: dict[str, phases.Phase] = {
        "cold": phases.cold,
        "push_one": phases.push_one,
        "push_all": phases.push_all,
        "drift": phases.drift,
        "restart": phases.restart,
        "steady": phases.steady(options.steady_s),
    }
    machine = _machine()
    measured = {}
    async with world(load) as run:
        await run.quiet()
        for name in options.only:
            measured[name] = await _measure(run, name, known[name], program)
    return Result(
        kustomizations=len(load.applications),
        objects=load.objects,
        namespaces=options.namespaces,
        machine=machine,
        phases=measured,
    )


async def _measure(run: World, name: str, phase: phases.Phase, program: str | None) -> Phase:
    say(name)
    pids = {controller: run.controllers[controller].pid for controller in CONTROLLERS}
    # After a restart there are other processes, so that one is not profiled.
    profile = Profile(program, pids) if program and name != "restart" else None
    start = run.meter.begin()
    figures = await phase(run)
    window = run.meter.end(start)
    lines = await asyncio.to_thread(profile.end) if profile else {}
    say("  " + ", ".join(f"{key} {report.number(value)}" for key, value in figures.items()))
    requests = await run.requests(window.began, window.ended)
    return Phase(name=name, figures=figures, window=window, requests=requests, profile=lines)


def _machine() -> dict[str, str | float]:
    return {
        "CPUs": os.cpu_count() or 0,
        "architecture": platform.machine(),
        "Python": platform.python_version(),
        "load average before": round(os.getloadavg()[0], 1),
    }


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--n", type=_positive, default=100, help="Kustomizations of 7 objects each (100)")
    parser.add_argument("--namespaces", type=_positive, default=10, help="namespaces of these objects (10)")
    parser.add_argument(
        "--steady-s", type=float, default=180.0, help="how long to watch while nothing happens (180)"
    )
    parser.add_argument(
        "--only",
        type=_phase_names,
        default=_NAMES,
        metavar="PHASE,...",
        help=f"only these phases, after cold: {','.join(_NAMES)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    parser.add_argument("--profile", action="store_true", help="sample both controllers with py-spy")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 on")
    return int(text)


def _phase_names(text: str) -> tuple[str, ...]:
    """In the order of `_NAMES`; `cold` always runs, since it makes the load."""
    asked = {name.strip().replace("-", "_") for name in text.split(",")} | {"cold"}
    if unknown := asked - set(_NAMES):
        raise argparse.ArgumentTypeError(f"no such phase: {', '.join(sorted(unknown))}")
    return tuple(name for name in _NAMES if name in asked)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
