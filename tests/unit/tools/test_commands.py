"""What `./run` says about itself, and how the stages of `./run test` are found and summed up."""

from pathlib import Path

import pytest

from tools.bootstrap.commands import COMMANDS, Command, lesson, overview
from tools.bootstrap.stages import Result, all_stages, summary
from tools.bootstrap.stages import test_folders as folders_with_tests


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_is_listed_and_teaches(command: Command) -> None:
    assert f"  {command.name}" in overview()
    assert lesson(command).startswith(f"./run {command.name}")
    assert all(len(line) <= 110 for line in lesson(command).splitlines())


def test_tests_run_fastest_first_and_none_is_forgotten(tmp_path: Path) -> None:
    for name in (
        "faults/test_a.py",
        "unit/deep/test_b.py",
        "new/test_c.py",
        "harness/wait.py",
        "oracle/test_d.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    assert folders_with_tests(tmp_path) == ["unit", "oracle", "faults", "new"]


STAGES = all_stages(Path(__file__).parents[3], Path("/venv/bin/python"), Path("/go/bin/go"))


def test_stages_call_programs_by_absolute_path() -> None:
    assert all(Path(stage.argv[0]).is_absolute() for stage in STAGES)


def test_what_measures_time_and_memory_runs_alone() -> None:
    several = {stage.name for stage in STAGES if "--numprocesses" in stage.argv}
    assert several == {"tests/integration", "tests/faults"}


RESULTS = {
    "all is well": ([0, 0], "stages: 2 passed, 0 failed"),
    "one failed": ([0, 2], "stages: 1 passed, 1 failed"),
}


@pytest.mark.parametrize(("codes", "last"), RESULTS.values(), ids=RESULTS)
def test_summary(codes: list[int], last: str) -> None:
    text = summary([Result(f"stage {at}", code, 1.0) for at, code in enumerate(codes)])
    assert text.splitlines()[-1] == last
    assert ("FAILED (exit 2)" in text) == (2 in codes)
