"""Ask a child process to resolve, fetch and archive; each of its failures becomes one of ours here.

A call whose run is no longer wanted is given up and its child killed: whoever waits for a silent server holds
a worker, and workers are for everybody.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.api.kinds import GIT_REPOSITORY
from shared.runtime import metrics
from shared.runtime.child import Child, ChildDied, ChildError, ChildTimeout, Pool
from shared.runtime.outcome import Superseded
from source_controller.worker import CHECKOUT, Publication, Published, Resolved, Where

# Of one child: enough for objects of 100 MB, and two children fit beside the controller into the usual 1
# GiB pod, which they share with nobody at the same time but by bad luck. A guess.
MEMORY_LIMIT_BYTES = 768 << 20
# The child's environment is otherwise empty: where the authorities of TLS lie is the operator's to say.
_INHERITED = ("SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR", "PATH")

# What the contract calls StorageOperationFailed, and what it gives no condition; all else is FetchFailed.
_IN_STORAGE = ("ArchiveOperationFailed", "IllegalPath", "CopyFailure")
_ONLY_READY = ("SourceIgnoreError",)
_OURS = ("Internal", "BadRequest")  # reasons of the protocol, not of the contract: a mistake of ours

IS_CURRENT_EVERY_S = 0.2  # a look at memory

Answer = TypeVar("Answer")
IsCurrent = Callable[[], bool]


class CheckoutFailed(Exception):
    """Nothing could be fetched or published; reason and message are the contract's.

    Attributes:
        stalled: only a change of the object helps.
    """

    def __init__(self, reason: str, message: str, *, stalled: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.stalled = stalled or reason == "URLInvalid"

    @property
    def condition(self) -> str | None:
        """The type of the condition that tells of it; None if only Ready does."""
        if self.reason in _ONLY_READY:
            return None
        return "StorageOperationFailed" if self.reason in _IN_STORAGE else "FetchFailed"


class Checkout:
    """The child's two operations, typed. Both ask `is_current` while they wait, whether anybody still wants
    the answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def resolve(self, where: Where, *, timeout_s: float, is_current: IsCurrent) -> Resolved:
        """Raises: CheckoutFailed. Superseded: the run is not to go on."""
        return await self._call("resolve", where, Resolved, timeout_s, is_current)

    async def publish(self, order: Publication, *, timeout_s: float, is_current: IsCurrent) -> Published:
        """Raises: CheckoutFailed: nothing was published. Superseded: the run is not to go on."""
        return await self._call("publish", order, Published, timeout_s, is_current)

    async def _call(
        self,
        op: str,
        order: Where | Publication,
        answer: type[Answer],
        timeout_s: float,
        is_current: IsCurrent,
    ) -> Answer:
        call = self._pool.call(op, msgspec.to_builtins(order), timeout_s=timeout_s)
        try:
            raw = await _while_current(asyncio.create_task(call, name=f"git worker: {op}"), is_current)
        except ChildError as error:
            if error.reason in _OURS:
                raise CheckoutFailed("GitOperationFailed", CHECKOUT + error.message) from error
            raise CheckoutFailed(error.reason, error.message) from error
        except ChildTimeout as error:
            metrics.timed_out(GIT_REPOSITORY.kind)
            told = f"{CHECKOUT}not done within spec.timeout ({timeout_s:g}s); the server is slow, or raise it"
            raise CheckoutFailed("GitOperationFailed", told) from error
        except ChildDied as error:
            raise CheckoutFailed("GitOperationFailed", f"{CHECKOUT}{error}; it is tried again") from error
        return msgspec.json.decode(raw, type=answer)


async def _while_current(call: "asyncio.Task[msgspec.Raw]", is_current: IsCurrent) -> msgspec.Raw:
    """The answer of `call`. Raises: Superseded: it was given up, and its child is dead; what `call`
    raises."""
    try:
        while not call.done():
            await asyncio.wait({call}, timeout=IS_CURRENT_EVERY_S)
            if not call.done() and not is_current():
                raise Superseded
        return call.result()
    finally:
        if not call.done():
            call.cancel()
            await asyncio.wait({call})  # until the child is gone


def start_pool(size: int) -> Pool:
    """`size` children; each starts with its first call."""
    root = Path(__file__).parents[2]
    env = {key: os.environ[key] for key in _INHERITED if key in os.environ} | {"PYTHONPATH": str(root)}
    argv = [sys.executable, "-m", "source_controller.worker"]
    return Pool(
        [Child(argv, name="git worker", env=env, memory_limit_bytes=MEMORY_LIMIT_BYTES) for _ in range(size)]
    )
