"""The child's side of shared/runtime/child.py, for children written in Python.

A module of its own, so that children do not load asyncio, which none of them needs and which each would hold
in memory.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ChildError", "ChildFailure", "serve"]


class ChildFailure(Exception):
    """A call has no result. The next call starts a new process where this one has lost its own."""


class ChildError(ChildFailure):
    """The child answered that the call failed.

    Attributes:
        reason: one word for programs; message: for people; details: further fields of the answer.
    """

    def __init__(self, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = details or {}


def serve(handlers: Mapping[str, Callable[[Mapping[str, Any]], object]]) -> NoReturn:
    """Answer calls until the parent is gone; the main program of a child written in Python. Does not return.

    A handler takes the request's `args` and gives what msgspec can write as JSON, or raises ChildError. A
    thread
    reads stdin, so that the end of input ends the process in the middle of a call too: a killed parent leaves
    no child behind. What a handler prints goes to stderr.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), name="requests", daemon=True).start()
    while True:
        request = msgspec.json.decode(requests.get())
        answers.write(msgspec.json.encode({"id": request["id"], **_handle(handlers, request)}) + b"\n")
        answers.flush()


def _read_requests(requests: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        requests.put(line)
    os._exit(0)


def _handle(
    handlers: Mapping[str, Callable[[Mapping[str, Any]], object]], request: Mapping[str, Any]
) -> dict[str, object]:
    handler = handlers.get(request["op"])
    if handler is None:
        return {"error": {"reason": "BadRequest", "message": f"unknown op '{request['op']}'"}}
    try:
        return {"ok": handler(request["args"])}
    except ChildError as error:
        return {"error": {"reason": error.reason, "message": error.message, **error.details}}
    except Exception as error:
        # The text may hold a secret or a tenant's content; the trace goes to stderr, which no status shows.
        traceback.print_exc()
        message = f"'{request['op']}' failed unexpectedly ({type(error).__name__})"
        return {"error": {"reason": "Internal", "message": message}}
