"""`./run test`: what CI does, in stages with a heading and a time. All run; a summary says what failed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.process import openly
from tools.bootstrap.progress import span

# Fastest first; folders that are not listed come after, in the order of their names.
ORDER = ("unit", "oracle", "integration", "cli", "attacks", "scenarios", "faults")

# Folders whose tests wait more than they work: so many files at once, each on a control plane of its own.
# Those of attacks stay alone, for they measure how much time and memory an attack costs.
AT_ONCE = {"integration": 2, "faults": 2}


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    argv: Sequence[str]
    folder: str = "."  # below the checkout
    go: bool = False  # runs with Go's environment


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    code: int
    seconds: float


def all_stages(root: Path, python: Path, go: Path) -> list[Stage]:
    def module(*argv: str) -> list[str]:
        return [str(python), "-m", *argv]

    return [
        Stage("ruff check", module("ruff", "check", ".")),
        Stage("ruff format", module("ruff", "format", "--check", ".")),
        Stage("types (mypy --strict)", module("mypy")),
        # The script is given to the interpreter, since its first line may be longer than the kernel reads.
        Stage("import contracts", [str(python), str(python.with_name("lint-imports"))]),
        Stage("generated CRDs are fresh", module("shared.api.crd", "--check")),
        Stage("go vet tools/engine", [str(go), "vet", "./..."], "tools/engine", go=True),
        Stage("go test tools/engine", [str(go), "test", "./..."], "tools/engine", go=True),
        *(
            Stage(f"tests/{name}", module("pytest", *_several(name), f"tests/{name}"))
            for name in test_folders(root / "tests")
        ),
    ]


def _several(folder: str) -> list[str]:
    return ["--numprocesses", str(AT_ONCE[folder]), "--dist", "loadfile"] if folder in AT_ONCE else []


def test_folders(tests: Path) -> list[str]:
    """Give the names below tests/ that hold tests, fastest first; none is left out for being unknown here."""
    found = {path.relative_to(tests).parts[0] for path in tests.rglob("test_*.py")}
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def run(stages: Sequence[Stage], root: Path, *, env: Mapping[str, str], go_env: Mapping[str, str]) -> int:
    """Run all stages, print the summary, and give the exit code: 0 if none failed."""
    results = []
    for at, stage in enumerate(stages, 1):
        _say(f"\n── [{at}/{len(stages)}] {stage.name} {'─' * max(60 - len(stage.name), 3)}")
        began = time.monotonic()
        code = openly(stage.argv, cwd=root / stage.folder, env=go_env if stage.go else env)
        results.append(Result(stage.name, code, time.monotonic() - began))
        _say(f"   {_verdict(code)} after {span(results[-1].seconds)}")
    _say(summary(results))
    return 1 if any(result.code for result in results) else 0


def summary(results: Sequence[Result]) -> str:
    """Give a line per stage, and a last line that counts them in the form that test runners use."""
    width = max((len(result.name) for result in results), default=0)
    lines = ["", "Summary"]
    lines += [
        f"  {result.name.ljust(width)}  {_verdict(result.code):16}  {span(result.seconds):>6}"
        for result in results
    ]
    failed = sum(1 for result in results if result.code)
    lines += ["", f"stages: {len(results) - failed} passed, {failed} failed"]
    return "\n".join(lines)


def _verdict(code: int) -> str:
    return f"FAILED (exit {code})" if code else "passed"


def _say(text: str) -> None:
    print(text, flush=True)  # on the same stream as the stages' own output, so that the order holds
