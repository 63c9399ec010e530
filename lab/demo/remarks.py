"""What the demo tells: values, and the plain lines that say them. Pure; the displays decide about colours."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH = 100  # of plain lines and of pictures, where no terminal says otherwise
_TITLE = 30
SUMMARY = "Summary: from the command's return until the cluster shows it"
_MARKS = {"ok": "ok", "failed": "FAILED", "not run": "not run"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a person would type it; it is run as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one line in a file; `after` None: the line is removed."""

    path: str
    before: str
    after: str | None


@dataclass(frozen=True, slots=True)
class Quote:
    """Somebody else's words, as they are: a condition's message, an event; `who` "": a command's output."""

    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about what follows."""

    text: str


Remark = Command | Edit | Quote | Note


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step saw when it was done.

    Args:
        took_s: from the user's action; None: there was nothing to wait for.
    """

    text: str
    took_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a step ended.

    Args:
        claim: what the summary calls it; empty: only worth a line there if it did not go well.
        text: what was seen, or why it failed.
    """

    title: str
    claim: str
    state: Literal["ok", "failed", "not run"]
    took_s: float | None = None
    text: str = ""


def seconds(took_s: float | None) -> str:
    return "" if took_s is None else f"{took_s:.2f} s"


def remark_lines(remark: Remark) -> list[str]:
    match remark:
        case Command(text):
            return [f"    $ {text}"]
        case Edit(path, before, after):
            return [f"    {path}:", f"    - {before}"] + ([] if after is None else [f"    + {after}"])
        case Quote(who, text):
            said = f"{who}: {text}" if who else text
            return [f"    | {line}" for line in said.splitlines()]
        case Note(text):
            return textwrap.wrap(text, WIDTH, initial_indent="    # ", subsequent_indent="    # ")


def result_lines(result: Result) -> list[str]:
    first, *more = result.text.splitlines() or [""]
    head = f"{_MARKS[result.state]:<7} {result.title:<{_TITLE}} {seconds(result.took_s):>8}  {first}".rstrip()
    return [head, *(f"    | {line}" for line in more)]


def summary_rows(results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """State, what it is about, time: the steps with a claim, and whatever did not go well."""
    return [
        (_MARKS[result.state], result.claim or result.title, seconds(result.took_s))
        for result in results
        if result.claim or result.state != "ok"
    ]


def verdict(results: Sequence[Result], total_s: float) -> str:
    bad = [result for result in results if result.state != "ok"]
    if not bad:
        return f"All {len(results)} steps went well, {total_s:.0f} s in all."
    return f"{len(bad)} of {len(results)} steps failed or were not run, {total_s:.0f} s in all."


def summary_lines(results: Sequence[Result], total_s: float) -> list[str]:
    rows = summary_rows(results)
    width = max((len(about) for _, about, _ in rows), default=0)
    lines = [f"{state:<7} {about:<{width}}  {took:>8}".rstrip() for state, about, took in rows]
    return [SUMMARY, *lines, verdict(results, total_s)]
