"""The table, its numbers, the goals that it holds them against, and the JSON."""

import json
from dataclasses import replace

import pytest

from bench import report
from bench.audit import What
from bench.goals import Row, goals_for, rows
from bench.measure import TOGETHER, Memory, Window
from bench.profile import functions
from bench.result import Phase, Result
from bench.world import KUSTOMIZE, SOURCE

WINDOW = Window(
    began=100,
    ended=160,
    cpu_s={SOURCE: 0.5, KUSTOMIZE: 3.0, "kube-apiserver": 9.0, "etcd": 2.0},
    peak={TOGETHER: Memory(pss=360_000_000, rss=500_000_000)},
)
APPLY = What(KUSTOMIZE, "apply", "configmaps", dry_run=False)
COLD = Phase(
    name="cold",
    figures={"all_ready_s": 7.0},
    window=WINDOW,
    requests={APPLY: 700, APPLY._replace(dry_run=True): 700, APPLY._replace(verb="get"): 70},
)
RESTED = replace(WINDOW, peak={TOGETHER: Memory(pss=90_000_000, rss=120_000_000)})
STEADY = Phase(name="steady", figures={"minutes": 2.0}, window=RESTED, requests={APPLY: 6})
RESULT = Result(
    kustomizations=100,
    objects=700,
    namespaces=10,
    machine={"CPUs": 2},
    phases={"cold": COLD, "steady": STEADY},
)


def found(result: Result, what: str) -> Row:
    [row] = [row for row in rows(result) if row.what == what]
    return row


GOALS: dict[str, tuple[str, float, float | None, bool]] = {
    "too slow": ("cold: all Ready", 7.0, 6.0, True),
    "CPU of both controllers, not of the API server": ("cold: CPU of both", 3.5, 4.0, False),
    "writes leave out dry runs and reads": ("cold: write requests", 700, 1200, False),
    "no goal": ("cold: requests per applied object", 2.1, None, False),
    "a minute of two": ("nothing happening: requests a minute", 3.0, 10.0, False),
    "CPU time a minute of two": ("nothing happening: CPU of both a minute", 1.75, 0.6, True),
    "the highest peak of all phases": ("peak memory of both, PSS", 0.36, 0.35, True),
}


@pytest.mark.parametrize(("what", "measured", "goal", "missed"), GOALS.values(), ids=GOALS)
def test_rows(what: str, measured: float, goal: float | None, missed: bool) -> None:
    row = found(RESULT, what)
    assert row.measured == pytest.approx(measured)
    assert (row.goal, row.missed) == (goal, missed)


@pytest.mark.parametrize(
    ("kustomizations", "size", "cold_s"),
    [(100, 300, 6), (300, 300, 6), (301, 1000, 20), (1000, 1000, 20), (1001, 0, None)],
)
def test_goals_of_the_next_size(kustomizations: int, size: int, cold_s: float | None) -> None:
    chosen, goals = goals_for(kustomizations)
    assert (chosen, goals.cold_s) == (size, cold_s)


def test_load_beyond_all_goals_is_reported() -> None:
    large = replace(RESULT, kustomizations=5000)
    assert found(large, "cold: all Ready").goal is None
    assert "no goals at this size" in report.tables(large)


def test_table_aligns_names_left_and_numbers_right() -> None:
    assert report.table(["what", "n"], [["a", "1"], ["longer", "1,000"]]) == (
        "what        n\na           1\nlonger  1,000"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (1312.0, "1,312"), (31.46, "31.5"), (1.222, "1.22"), (0.0151, "0.015")]
)
def test_number(value: float, text: str) -> None:
    assert report.number(value) == text


def test_json_holds_what_the_tables_show() -> None:
    value = json.loads(report.to_json(RESULT))
    assert value["phases"]["cold"]["requests"][KUSTOMIZE]["apply (dry run) configmaps"] == 700
    assert value["rows"][0] == {
        "what": "cold: all Ready",
        "measured": 7.0,
        "unit": "s",
        "goal": 6,
        "missed": True,
    }
    assert "cold: all Ready" in report.tables(RESULT)


def test_profile_adds_up_stacks() -> None:
    """A function's share counts once in each stack, however deep it calls itself; what stands
    at the outer end of all stacks does not count."""
    stacks = [
        'process 7:"python -m x";<module> (a.py);main (a.py);walk (b.py);walk (b.py) 3',
        "main (a.py) 1",
        "noise",
    ]
    assert {line.function: (line.total_percent, line.own_percent) for line in functions(stacks)} == {
        "main (a.py)": (100, 25),
        "walk (b.py)": (75, 75),
    }
