"""Run the script step by step, measure, and tell a display. The first step that fails is the last one."""

import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.apiclient import ApiRefused
from lab.demo.display import Display
from lab.demo.remarks import Result, Seen
from lab.demo.script import Chapter, Step
from lab.demo.stage import Stage, StepFailed
from lab.gitserver import MissingHttpBackend
from lab.processes import ProcessFailed
from lab.stack import Lab, Phase
from lab.tools import MissingTool
from lab.worktree import GitFailed

# What can go wrong outside of our own code; anything else is a mistake of the demo's and shows its trace.
_FAILURES = (
    *(StepFailed, ProcessFailed, GitFailed, ApiRefused, MissingTool, MissingHttpBackend),
    *(subprocess.TimeoutExpired, OSError),
)


def opening(lab: Lab) -> Chapter:
    """The start of the lab as a chapter."""
    return Chapter("A cluster on this machine", tuple(_step(phase) for phase in lab.phases()))


def play(chapters: Sequence[Chapter], stage: Stage, display: Display) -> list[Result]:
    """A result for every step, in order; after a failure "not run"."""
    results: list[Result] = []
    failed = False
    for chapter in chapters:
        if not failed:
            display.chapter(chapter.title)
        for step in chapter.steps:
            if failed:
                results.append(Result(title=step.title, claim=step.claim, state="not run"))
                continue
            display.begin(step.title)
            results.append(_run(step, stage))
            display.end(results[-1])
            failed = results[-1].state == "failed"
    return results


def _run(step: Step, stage: Stage) -> Result:
    try:
        seen = step.run(stage)
    except _FAILURES as error:
        return Result(title=step.title, claim=step.claim, state="failed", text=_why(error))
    return Result(title=step.title, claim=step.claim, state="ok", took_s=seen.took_s, text=seen.text)


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        program, *arguments = error.cmd
        return (
            f"{shlex.join([Path(program).name, *arguments])} did not end within {round(error.timeout, 1):g} s"
        )
    return str(error)


def _step(phase: Phase) -> Step:
    def run(_: Stage) -> Seen:
        began_s = time.monotonic()
        phase.run()
        return Seen(phase.about, time.monotonic() - began_s)

    return Step(phase.title, run)
