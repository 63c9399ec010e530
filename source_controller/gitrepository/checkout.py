"""Ask a child process to resolve, fetch and archive; each of its failures becomes one of ours here."""

import os
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.runtime.child import Child, ChildDied, ChildError, ChildTimeout, Pool
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

Answer = TypeVar("Answer")


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
    """The child's two operations, typed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def resolve(self, where: Where, *, timeout_s: float) -> Resolved:
        """Raises: CheckoutFailed."""
        return await self._call("resolve", where, Resolved, timeout_s)

    async def publish(self, order: Publication, *, timeout_s: float) -> Published:
        """Raises: CheckoutFailed: nothing was published."""
        return await self._call("publish", order, Published, timeout_s)

    async def _call(
        self, op: str, order: Where | Publication, answer: type[Answer], timeout_s: float
    ) -> Answer:
        try:
            raw = await self._pool.call(op, msgspec.to_builtins(order), timeout_s=timeout_s)
        except ChildError as error:
            if error.reason in _OURS:
                raise CheckoutFailed("GitOperationFailed", CHECKOUT + error.message) from error
            raise CheckoutFailed(error.reason, error.message) from error
        except ChildTimeout as error:
            told = f"{CHECKOUT}not done within spec.timeout ({timeout_s:g}s); the server is slow, or raise it"
            raise CheckoutFailed("GitOperationFailed", told) from error
        except ChildDied as error:
            raise CheckoutFailed("GitOperationFailed", f"{CHECKOUT}{error}; it is tried again") from error
        return msgspec.json.decode(raw, type=answer)


def start_pool(size: int) -> Pool:
    """`size` children; each starts with its first call."""
    root = Path(__file__).parents[2]
    env = {key: os.environ[key] for key in _INHERITED if key in os.environ} | {"PYTHONPATH": str(root)}
    argv = [sys.executable, "-m", "source_controller.worker"]
    return Pool(
        [Child(argv, name="git worker", env=env, memory_limit_bytes=MEMORY_LIMIT_BYTES) for _ in range(size)]
    )
