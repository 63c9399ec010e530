"""Which failures of the process for expressions are laid to the expression."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomize_controller.kustomization.health import expressions as module
from kustomize_controller.kustomization.health.expressions import (
    FATAL,
    OF_OBJECT,
    Expressions,
    InvalidExpression,
    NotEvaluated,
)

# A program that is slow to start, and to which an expression says what to do.
PROGRAM = f"""#!{sys.executable}
import json, os, pathlib, sys, time
time.sleep({{start_s}})
for line in sys.stdin:
    request = json.loads(line)
    for text in request["args"]["expressions"]:
        if text == "hang":
            time.sleep(60)
        if text == "die":
            os._exit(1)
        if text == "die once" and not pathlib.Path("{{sign}}").exists():
            pathlib.Path("{{sign}}").touch()
            os._exit(1)
    messages = [text if text == "wrong" else "" for text in request["args"]["expressions"]]
    print(json.dumps({{{{"id": request["id"], "ok": {{{{"messages": messages}}}}}}}}), flush=True)
"""
SLOW_S = 1.0


@pytest.fixture
async def expressions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Expressions]:
    monkeypatch.setattr(module, "TIMEOUT_S", SLOW_S / 2)
    program = tmp_path / "engine"
    program.write_text(PROGRAM.format(start_s=getattr(request, "param", 0), sign=tmp_path / "sign"))
    program.chmod(0o700)
    made = Expressions(program)
    yield made
    await made.close()


@pytest.mark.parametrize("expressions", [SLOW_S], indirect=True, ids=["slow to start"])
async def test_the_start_of_the_process_does_not_count(expressions: Expressions) -> None:
    await expressions.check("team", "true", OF_OBJECT)


async def test_a_program_that_never_answers_is_no_fault_of_the_expression(
    expressions: Expressions, tmp_path: Path
) -> None:
    (tmp_path / "engine").write_text("#!/bin/sh\n")
    for _ in range(FATAL + 1):
        with pytest.raises(NotEvaluated, match="does not start"):
            await expressions.check("team", "true", OF_OBJECT)


@pytest.mark.parametrize("text", ["hang", "die"])
async def test_only_a_text_that_takes_each_process_down_is_invalid(
    expressions: Expressions, text: str
) -> None:
    for _ in range(FATAL - 1):
        with pytest.raises(NotEvaluated):
            await expressions.check("team", text, OF_OBJECT)
    with pytest.raises(InvalidExpression, match="failed to parse the CEL expression: expressions"):
        await expressions.check("team", text, OF_OBJECT)
    await expressions.check("team", "true", OF_OBJECT)


async def test_what_is_read_after_all_is_good(expressions: Expressions) -> None:
    with pytest.raises(NotEvaluated):
        await expressions.check("team", "die once", OF_OBJECT)
    await expressions.check("team", "die once", OF_OBJECT)


async def test_what_is_wrong_is_said_at_once(expressions: Expressions) -> None:
    with pytest.raises(InvalidExpression, match="wrong"):
        await expressions.check("team", "wrong", OF_OBJECT)
