"""Users' own expressions, in CEL: read and evaluated by the engine's program (tools/engine, cel.go).

A tenant chooses the expression, so it runs in a process that can be killed, within a limit of cost and time
that the engine keeps and one of time and memory that this side keeps. All tenants share two processes, of
which a namespace uses one at a time.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shared.runtime.child import Child, ChildDied, ChildError, ChildTimeout, Pool

TIMEOUT_S = 2.0  # twenty times what the engine grants one evaluation
START_S = 20.0  # until a process answers at all, on a machine that has other things to do
FATAL = 3  # times in a row that a text took a process down: then it is the text, not the machine
MEMORY_BYTES = 256 << 20
KNOWN = 10_000  # expressions that are known to be good


class InvalidExpression(Exception):
    """Cannot be read; only another text helps. The message says why, and not in which field."""


class NotEvaluated(Exception):
    """It has no result for this object, at least not now."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How names in an expression are understood.

    Attributes:
        variables: the maps that it may name, which are declared: a misspelt one is found when it is read.
        None
            declared: every name is a field of the object, looked up when it is evaluated.
    """

    variables: tuple[str, ...] = ()


OF_OBJECT = Dialect()
OF_DEPENDENCY = Dialect(("self", "dep"))


class _Evaluator(Child):
    """A call's time is counted once the process answers: its start is not the expression's fault."""

    async def call(self, op: str, args: Mapping[str, object], *, timeout_s: float) -> msgspec.Raw:
        if self.pid is None:
            try:
                await super().call("check", {"expressions": [], "variables": []}, timeout_s=START_S)
            except (ChildTimeout, ChildDied) as error:
                raise NotEvaluated(f"the engine's program does not start: {error}") from error
        return await super().call(op, args, timeout_s=timeout_s)


class _Checked(msgspec.Struct):
    messages: tuple[str, ...]


class _Evaluated(msgspec.Struct):
    first: int


class Expressions:
    """Processes start with the first expression; `close` ends them.

    Args:
        engine: the engine's program.
    """

    def __init__(self, engine: Path) -> None:
        self._pool = Pool(
            [
                _Evaluator(
                    [str(engine), "expressions"],
                    name=f"expressions {number}",
                    env={"PATH": "/nonexistent"},
                    memory_limit_bytes=MEMORY_BYTES,
                )
                for number in (1, 2)
            ]
        )
        self._good: set[tuple[str, Dialect]] = set()
        self._fatal: dict[tuple[str, Dialect], int] = {}  # how often it took a process down
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def check(self, namespace: str, expression: str, dialect: Dialect) -> None:
        """See that an expression can be read.

        Raises:
            InvalidExpression: it cannot, or it took a process down `FATAL` times.
            NotEvaluated: there is nobody to ask, or the process was too slow or ended: try again.
        """
        one = (expression, dialect)
        if one in self._good:
            return
        args = {"expressions": [expression], "variables": dialect.variables}
        try:
            answer = await self._call(namespace, "check", args)
        except (ChildTimeout, ChildDied) as error:
            if self._is_fatal(one):
                raise InvalidExpression(f"failed to parse the CEL expression: {error}") from error
            raise NotEvaluated(str(error)) from error
        except ChildError as error:
            raise NotEvaluated(str(error)) from error
        self._fatal.pop(one, None)
        message = msgspec.json.decode(answer, type=_Checked).messages[0]
        if message:
            raise InvalidExpression(message)
        if len(self._good) >= KNOWN:
            self._good.clear()
        self._good.add(one)

    def _is_fatal(self, one: tuple[str, Dialect]) -> bool:
        """Count that a text took a process down; whether that is the text's fault by now."""
        times = self._fatal.pop(one, 0) + 1
        if len(self._fatal) >= KNOWN:
            self._fatal.clear()
        self._fatal[one] = times
        return times >= FATAL

    async def first_true(
        self,
        namespace: str,
        expressions: Sequence[str],
        dialect: Dialect,
        data: Mapping[str, object] | msgspec.Raw,
    ) -> int | None:
        """The index of the first expression that is true of `data`; None if none is.

        Args:
            data: an object, or values by the names of the dialect's variables.

        Raises:
            NotEvaluated: one of them has no result; the message is for people, and may quote `data`.
        """
        if isinstance(data, msgspec.Raw):  # the API server ends with a line feed, which would end the request
            data = msgspec.Raw(bytes(data).replace(b"\n", b" "))
        args = {"expressions": expressions, "variables": dialect.variables, "data": data}
        try:
            answer = await self._call(namespace, "evaluate", args)
        except (ChildTimeout, ChildDied, ChildError) as error:
            raise NotEvaluated(str(error)) from error
        first = msgspec.json.decode(answer, type=_Evaluated).first
        return first if first >= 0 else None

    async def close(self) -> None:
        await self._pool.close()

    async def _call(self, namespace: str, op: str, args: Mapping[str, object]) -> msgspec.Raw:
        lock, users = self._turns.get(namespace, (asyncio.Lock(), 0))
        self._turns[namespace] = (lock, users + 1)
        try:
            async with lock:
                return await self._pool.call(op, args, timeout_s=TIMEOUT_S)
        except OSError as error:
            raise NotEvaluated(f"the engine's program does not start: {error.strerror}") from error
        finally:
            lock, users = self._turns.pop(namespace)
            if users > 1:
                self._turns[namespace] = (lock, users - 1)
