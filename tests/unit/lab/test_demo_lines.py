"""What the demo's plain display and its summary say, and when the demo counts as failed."""

import html
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lab.demo.display import Plain, Several
from lab.demo.remarks import (
    SUMMARY,
    Command,
    Edit,
    Note,
    Quote,
    Remark,
    Result,
    remark_lines,
    result_lines,
    summary_lines,
    summary_rows,
)
from lab.demo.script import STORY
from lab.demo.terminal import Picture
from lab.stack import PHASES

REMARKS: dict[str, tuple[Remark, list[str]]] = {
    "a command": (Command("git push"), ["    $ git push"]),
    "a line is changed": (Edit("a.yaml", "x: 1", "x: 2"), ["    a.yaml:", "    - x: 1", "    + x: 2"]),
    "a line is removed": (Edit("a.yaml", "- b.yaml", None), ["    a.yaml:", "    - - b.yaml"]),
    "a command's output": (Quote("", "one\ntwo"), ["    | one", "    | two"]),
    "a command says nothing": (Quote("", ""), []),
    "an event": (Quote("event", "Service/a/b created"), ["    | event: Service/a/b created"]),
    "an error is not cut": (Quote("", "x" * 300), ["    | " + "x" * 300]),
    "a long note": (
        Note("word " * 25),
        ["    # " + " ".join(["word"] * 19), "    # " + " ".join(["word"] * 6)],
    ),
}


@pytest.mark.parametrize(("remark", "lines"), REMARKS.values(), ids=REMARKS)
def test_remarks(remark: Remark, lines: list[str]) -> None:
    assert remark_lines(remark) == lines


WELL = Result(title="Pruned", claim="git push → gone", state="ok", took_s=0.584, text="CronJob is gone")
RESULTS = {
    "it went well": (WELL, ["ok      Pruned                           0.58 s  CronJob is gone"]),
    "a minute": (
        replace(WELL, took_s=61.5),
        ["ok      Pruned                          61.50 s  CronJob is gone"],
    ),
    "nothing to wait for": (
        replace(WELL, took_s=None),
        ["ok      Pruned                                   CronJob is gone"],
    ),
    "nothing to say": (replace(WELL, text=""), ["ok      Pruned                           0.58 s"]),
    "a failure with a log": (
        replace(WELL, state="failed", took_s=None, text="etcd ended\nno space\nleft"),
        ["FAILED  Pruned                                   etcd ended", "    | no space", "    | left"],
    ),
}


@pytest.mark.parametrize(("result", "lines"), RESULTS.values(), ids=RESULTS)
def test_results(result: Result, lines: list[str]) -> None:
    assert result_lines(result) == lines


PUSHED = Result(title="Pushed", claim="", state="ok", text="main is 0123")
LATER = Result(title="Reverted", claim="git push → well", state="not run")
SUMMARIES = {
    "all went well": (
        [PUSHED, WELL],
        [SUMMARY, "ok      git push → gone    0.58 s", "All 2 steps went well, 12 s in all."],
    ),
    "a step without a claim fails": (
        [replace(PUSHED, state="failed"), replace(WELL, state="not run", took_s=None), LATER],
        [
            SUMMARY,
            "FAILED  Pushed",
            "not run git push → gone",
            "not run git push → well",
            "3 of 3 steps failed or were not run, 12 s in all.",
        ],
    ),
    "the last one fails": (
        [PUSHED, WELL, replace(LATER, state="failed", text="too late")],
        [
            SUMMARY,
            "ok      git push → gone    0.58 s",
            "FAILED  git push → well",
            "1 of 3 steps failed or were not run, 12 s in all.",
        ],
    ),
}


@pytest.mark.parametrize(("results", "lines"), SUMMARIES.values(), ids=SUMMARIES)
def test_summary(results: list[Result], lines: list[str]) -> None:
    assert summary_lines(results, 12.34) == lines


def test_the_plain_display_and_the_picture_tell_the_same(tmp_path: Path) -> None:
    out, picture = io.StringIO(), Picture()
    both = Several([Plain(out), picture])
    both.chapter("A file leaves Git")
    both.begin(WELL.title)
    both.tell(Command("git rm [b]refill[/b]"))  # square brackets are no markup
    both.end(WELL)
    both.summary([WELL, LATER], 12.34)
    both.close()
    assert out.getvalue().splitlines() == [
        "",
        "A file leaves Git",
        "    $ git rm [b]refill[/b]",
        *RESULTS["it went well"][1],
        "",
        SUMMARY,
        "ok      git push → gone    0.58 s",
        "not run git push → well",
        "1 of 2 steps failed or were not run, 12 s in all.",
    ]
    picture.save(tmp_path / "demo.svg")
    drawn = (tmp_path / "demo.svg").read_text().replace("&#160;", " ")
    told = [
        "A file leaves Git",
        "git rm [b]refill[/b]",
        "CronJob is gone",
        *(row[1] for row in summary_rows([WELL])),
    ]
    assert [text for text in told if text not in drawn] == []
    assert "@font-face" not in drawn


def test_the_recorded_run_shows_the_story_of_today() -> None:
    """Mend it with `./run demo --svg docs/demo.svg`, on a machine that does nothing else."""
    drawn = (Path(__file__).parents[3] / "docs" / "demo.svg").read_text()
    texts = re.findall(r"<text[^>]*>(.*?)</text>", drawn)
    shown = [html.unescape(text).replace("\xa0", " ").strip() for text in texts]
    steps = [step for chapter in STORY for step in chapter.steps]
    told = [title for title, _ in PHASES] + [chapter.title for chapter in STORY]
    told += [step.title for step in steps] + [step.claim for step in steps if step.claim]
    assert [text for text in told if text not in shown] == []
    assert shown[-1].startswith(f"All {len(PHASES) + len(steps)} steps went well")
