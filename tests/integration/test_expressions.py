"""Users' expressions in the engine's processes: what they mean, and what a hostile one can do (A53)."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from kustomize_controller.kustomization.health.expressions import (
    OF_DEPENDENCY,
    OF_OBJECT,
    Expressions,
    InvalidExpression,
    NotEvaluated,
)
from lab.tools import Tools

DONE = msgspec.Raw(b'{"metadata": {"name": "x"},\n "status": {"phase": "Done"}}\n')


@pytest.fixture
async def expressions(tools: Tools) -> AsyncIterator[Expressions]:
    made = Expressions(tools.path("engine"))
    yield made
    await made.close()


async def test_the_first_that_is_true_is_told(expressions: Expressions) -> None:
    texts = ["status.phase == 'Broken'", "status.phase == 'Done'", "true"]
    assert await expressions.first_true("team", texts, OF_OBJECT, DONE) == 1
    assert await expressions.first_true("team", texts[:1], OF_OBJECT, DONE) is None


async def test_a_dependency_is_seen_beside_oneself(expressions: Expressions) -> None:
    text = "dep.metadata.name == self.metadata.name"
    await expressions.check("team", text, OF_DEPENDENCY)
    data = {"self": {"metadata": {"name": "a"}}, "dep": {"metadata": {"name": "a"}}}
    assert await expressions.first_true("team", [text], OF_DEPENDENCY, data) == 0
    with pytest.raises(InvalidExpression, match="undeclared reference to 'other'"):
        await expressions.check("team", "other.metadata.name == ''", OF_DEPENDENCY)


LOOPS = "[1,2,3,4,5,6,7,8,9,10]"
for _name in "abcdefgh":
    LOOPS = f"[1,2,3,4,5,6,7,8,9,10].map({_name}, {LOOPS})"
LONG = "x" * 5000
HOSTILE = {
    "loops within loops": f"size({LOOPS}) > 0",
    "a string beyond all memory": f"'{LONG}'.replace('x', '{LONG}').replace('x', '{LONG[:2000]}') == ''",
    "a field that is not there": "status.nothing.at.all == 1",
    "no bool": "status.phase",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_what_comes_to_nothing_is_said_soon(expressions: Expressions, text: str) -> None:
    began = time.monotonic()
    with pytest.raises(NotEvaluated):
        await expressions.first_true("hostile", [text], OF_OBJECT, DONE)
    assert time.monotonic() - began < 5.0  # a busy machine; two seconds are the limit of a call
    assert await expressions.first_true("team", ["true"], OF_OBJECT, DONE) == 0


async def test_one_tenant_does_not_hold_up_the_others(expressions: Expressions) -> None:
    """A namespace has one process at a time, however much it asks for."""
    texts = [HOSTILE["loops within loops"]]
    flood = [
        asyncio.create_task(expressions.first_true("hostile", texts, OF_OBJECT, DONE)) for _ in range(30)
    ]
    await asyncio.sleep(0)
    assert await expressions.first_true("team", ["true"], OF_OBJECT, DONE) == 0
    assert not all(task.done() for task in flood)
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert await expressions.first_true("team", ["true"], OF_OBJECT, DONE) == 0


async def test_without_a_program_there_is_nobody_to_ask(tools: Tools) -> None:
    nobody = Expressions(tools.path("engine").with_name("no-such-program"))
    with pytest.raises(NotEvaluated, match="does not start"):
        await nobody.check("team", "true", OF_OBJECT)
