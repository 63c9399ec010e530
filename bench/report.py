"""Tables for people and JSON for programs, from one Result."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.audit import What
from bench.goals import Row, goals_for, rows
from bench.measure import Memory
from bench.profile import Line
from bench.result import Phase, Result

_TOP_FUNCTIONS = 15
_MB = 1e6

NOTES = """\
A push counts from the moment the source controller is told to look (by the annotation
reconcile.fluxcd.io/requestedAt, right after `git push` returned), a hand-made change from the moment its
request is sent. CPU and memory are those of a process with all its children; the CPU of a phase includes
what follows until rest. Memory is held against its goal as PSS, which counts a shared page once. Requests
are the API server's own count, from its audit log. Much CPU under "other processes" spoils the times."""


def tables(result: Result) -> str:
    """All that was measured, for a terminal."""
    parts = [_head(result), table(["", "measured", "goal", ""], map(_cells, rows(result)))]
    parts += [_phase(phase) for phase in result.phases.values()]
    return "\n\n".join([*parts, NOTES])


def to_json(result: Result) -> str:
    value = {
        "kustomizations": result.kustomizations,
        "objects": result.objects,
        "namespaces": result.namespaces,
        "machine": result.machine,
        "rows": [{**asdict(row), "missed": row.missed} for row in rows(result)],
        "phases": {name: _phase_value(phase) for name, phase in result.phases.items()},
    }
    return json.dumps(value, indent=2) + "\n"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Columns of text; the first is aligned to the left, the others to the right."""
    cells = [list(head), *map(list, lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def number(value: float) -> str:
    """Three digits are all that such a measurement is worth; counts are whole."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def _head(result: Result) -> str:
    size, _ = goals_for(result.kustomizations)
    goal = f"goals of {size:,} Kustomizations" if size else "no goals at this size"
    machine = ", ".join(f"{key} {value}" for key, value in result.machine.items())
    return (
        f"{result.kustomizations:,} Kustomizations, {result.objects:,} objects in {result.namespaces} "
        f"namespaces; {goal}\n{machine}"
    )


def _cells(row: Row) -> list[str]:
    unit = f" {row.unit}" if row.unit else ""
    goal = "" if row.goal is None else f"≤ {number(row.goal)}{unit}"
    return [row.what, number(row.measured) + unit, goal, "missed" if row.missed else ""]


def _phase(phase: Phase) -> str:
    title = f"== {phase.name}: {phase.window.seconds:.1f} s"
    figures = ", ".join(f"{key} {number(value)}" for key, value in phase.figures.items())
    cpu = ", ".join(f"{name} {number(seconds)} s" for name, seconds in phase.window.cpu_s.items())
    memory = ", ".join(f"{name} {_mb(peak)}" for name, peak in phase.window.peak.items())
    parts = [title, f"figures: {figures}", f"CPU: {cpu}", f"peak memory, PSS (RSS): {memory}"]
    parts.append(table(["  requests", "verb", "resource", "count"], _request_lines(phase.requests)))
    for name, lines in phase.profile.items():
        shown = [
            [f"  {line.function}", f"{line.total_percent:.1f}", f"{line.own_percent:.1f}"]
            for line in (*lines[:_TOP_FUNCTIONS], *_by_own(lines))
        ]
        parts.append(table([f"  profile of {name}: by total, then by own", "total %", "own %"], shown))
    return "\n".join(parts)


def _by_own(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: -line.own_percent)[:_TOP_FUNCTIONS]


def _mb(memory: Memory) -> str:
    return f"{memory.pss / _MB:.0f} MB ({memory.rss / _MB:.0f})"


def _request_lines(requests: Mapping[What, int]) -> list[list[str]]:
    ordered = sorted(requests.items(), key=lambda one: (-one[1], one[0]))
    return [
        [f"  {what.user}", what.verb + (" (dry run)" if what.dry_run else ""), what.resource, f"{count:,}"]
        for what, count in ordered
    ]


def _phase_value(phase: Phase) -> dict[str, Any]:
    requests: dict[str, dict[str, int]] = defaultdict(dict)
    for what, count in sorted(phase.requests.items()):
        verb = f"{what.verb} (dry run)" if what.dry_run else what.verb
        requests[what.user][f"{verb} {what.resource}"] = count
    return {
        "seconds": round(phase.window.seconds, 3),
        "figures": {key: round(value, 4) for key, value in phase.figures.items()},
        "cpu_s": {name: round(seconds, 2) for name, seconds in phase.window.cpu_s.items()},
        "peak_bytes": {name: asdict(peak) for name, peak in phase.window.peak.items()},
        "requests": requests,
    }
