"""Events: what a reconcile has to tell, as Kubernetes Events and, with `--events-addr`, to the notification
controller.

`Recorder` never makes a reconcile wait: it puts the ready-made bodies into two bounded queues, one per
receiver, so that a notification controller that hangs holds up nothing else. What does not fit, or is not
delivered after a few tries, is dropped and counted (`headrace_events_dropped_total`). Every text passes the
redactor.

Repeats. The same event (object, type, reason, message, metadata) within five minutes of the last one that was
sent is only counted; the first one after that is sent as a new Event with the count and the time of the
first. So a failure that is retried costs one request in five minutes and no reads, and `flux events` shows it
with a recent time. When the object's events turn from Normal to Warning or back, all its memory is dropped: a
failure that comes back at once is news. Kubernetes' own way, a PATCH per repeat, would cost one request each;
Flux's notification controller would drop the same repeats for the same five minutes
(`--rate-limit-interval`).

Source: the contract, behaviour-source.md 1.8, behaviour-notification.md (event JSON, sender side).
"""

import asyncio
import contextlib
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

import aiohttp
import msgspec
import tenacity

from shared.api.instant import instant
from shared.kube.errors import (
    ApiError,
    InternalError,
    KubeError,
    ServerError,
    TooManyRequests,
    Unreachable,
)
from shared.runtime import logs, metrics
from shared.runtime.outcome import Event
from shared.runtime.redact import redact

__all__ = ["Involved", "Recorder", "Repeats"]

log = logs.logger("event-recorder")

Post = Callable[[str, bytes], Awaitable[object]]
Sink = Literal["kubernetes", "notification"]

_FROM_ANNOTATIONS = "event.toolkit.fluxcd.io/"
_REVISION = "/revision"  # of a key, after the group of whoever reports
_WINDOW_S = 300.0
_MOST_OBJECTS = 10_000  # whose repeats are remembered; a forgotten one costs a request
_MOST_PER_OBJECT = 20
QUEUE_LENGTH = 5_000  # of each queue; at 1 KB an event, 5 MB at the worst
_DEFER_S = 15.0  # while work is waiting; then events are delivered beside it
_DEFER_STEP_S = 0.05
_LONGEST = 32_768  # characters of a message, as in a condition; the notification controller takes 39,000
_TRIES = 4
_NOTIFY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Involved:
    """The object that an event is about."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Self:
        """From an object as the API server sends it."""
        metadata = raw["metadata"]
        return cls(
            kind=raw["kind"],
            api_version=raw["apiVersion"],
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            annotations=metadata.get("annotations") or {},
        )

    def reference(self) -> dict[str, str]:
        """As core/v1 ObjectReference."""
        full = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
        }
        return {key: value for key, value in full.items() if value}


@dataclass(slots=True)
class _Told:
    """One event that was sent, and its repeats since."""

    sent_at: float
    repeats: int = 0
    first: str = ""  # wall clock of the first repeat


class Repeats:
    """Which events are repeats. Pure but for its memory; the caller gives the time."""

    def __init__(self) -> None:
        self._objects: OrderedDict[str, OrderedDict[tuple[str, ...], _Told]] = OrderedDict()

    def count(self, uid: str, event: Event, now_s: float, clock: str) -> tuple[int, str] | None:
        """How many times and since when `event` happened, if it is to be sent now; None if it is only
        counted.

        Args:
            uid: of the object.
            now_s: monotonic.
            clock: the wall clock, as it would be written.
        """
        told = self._objects.setdefault(uid, OrderedDict())
        self._objects.move_to_end(uid)
        if len(self._objects) > _MOST_OBJECTS:
            self._objects.popitem(last=False)
        mood = "Warning" if event.type == "Warning" else "Normal"
        for other in [key for key in told if key[0] != mood]:
            del told[other]
        key = (mood, event.type, event.reason, event.message, *map(str, sorted(event.metadata.items())))
        last = told.get(key)
        if last is not None and now_s - last.sent_at < _WINDOW_S:
            last.first = last.first or clock
            last.repeats += 1
            return None
        told[key] = _Told(now_s)
        told.move_to_end(key)
        if len(told) > _MOST_PER_OBJECT:
            told.popitem(last=False)
        return (last.repeats + 1, last.first or clock) if last else (1, clock)


class Recorder:
    """Takes events and delivers them, from `start` to `stop`, in order for each receiver.

    Args:
        controller: `source-controller`, …: shown as who reports.
        post: sends a body to a path of the API server; raises `KubeError`.
        events_addr: URL of the notification controller, or "".
        is_busy: whether work is waiting that matters more; an event waits for it, `_DEFER_S` at most.
    """

    def __init__(
        self,
        controller: str,
        post: Post,
        events_addr: str = "",
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_busy = is_busy
        self._controller, self._instance = controller, socket.gethostname()
        self._post = post
        self._url = events_addr
        self._repeats = Repeats()
        self._session: aiohttp.ClientSession | None = None
        self._queues: dict[Sink, asyncio.Queue[_Queued]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False  # what waits for work then would wait for ever

    async def start(self) -> None:
        """Begin to deliver. What was recorded before is kept."""
        self._start_sink("kubernetes", self._to_kubernetes)
        if self._url:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_NOTIFY_S), trust_env=False
            )
            self._start_sink("notification", self._to_notification)

    async def stop(self, deadline_s: float = 5.0) -> None:
        """Deliver what is queued, for `deadline_s` at most; drop and count the rest."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await asyncio.gather(*(queue.join() for queue in self._queues.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sink, queue in self._queues.items():
            while not queue.empty():
                queue.get_nowait()
                metrics.event_dropped(sink, "stopped")
        if self._session is not None:
            await self._session.close()

    def record(self, raw: Mapping[str, Any], event: Event) -> None:
        """`tell`, about an object as the API server sends it."""
        self.tell(Involved.of(raw), event)

    def tell(self, involved: Involved, event: Event) -> None:
        """Tell `event` about `involved`, unless it is a repeat. Never waits, never fails."""
        now = datetime.now(UTC)
        stamp = instant(now)
        counted = self._repeats.count(involved.uid, event, time.monotonic(), stamp)
        if counted is None:
            return
        metadata = _metadata(involved, event)
        message = _cut(redact(event.message, involved.namespace))
        namespace = involved.namespace or "default"
        naming: dict[str, Any] = {
            # client-go's way: unique, and the object's name can be read from it.
            "name": f"{involved.name}.{time.time_ns():x}",
            "namespace": namespace,
        }
        if metadata:
            naming["annotations"] = metadata
        core = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": naming,
            "involvedObject": involved.reference(),
            "type": "Warning" if event.type == "Warning" else "Normal",
            "reason": event.reason,
            "message": message,
            "source": {"component": self._controller},
            "reportingComponent": self._controller,
            "reportingInstance": self._instance,
            "count": counted[0],
            "firstTimestamp": counted[1],
            "lastTimestamp": stamp,
        }
        self._put("kubernetes", f"/api/v1/namespaces/{namespace}/events", core)
        if self._url and event.type != "Trace":
            self._put(
                "notification", self._url, self._notification(involved, event, message, metadata, stamp)
            )

    def _notification(
        self, involved: Involved, event: Event, message: str, metadata: Mapping[str, str], stamp: str
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "involvedObject": involved.reference(),
            "severity": "error" if event.type == "Warning" else "info",
            "timestamp": stamp,
            "message": message,
            "reason": event.reason,
            "reportingController": self._controller,
            "reportingInstance": self._instance,
        }
        return body | ({"metadata": metadata} if metadata else {})

    def _put(self, sink: Sink, where: str, body: dict[str, Any]) -> None:
        queue = self._queues.setdefault(sink, asyncio.Queue(QUEUE_LENGTH))
        try:
            queue.put_nowait((time.monotonic(), where, msgspec.json.encode(body)))
        except asyncio.QueueFull:
            metrics.event_dropped(sink, "queue full")

    def _start_sink(self, sink: Sink, send: Post) -> None:
        queue = self._queues.setdefault(sink, asyncio.Queue(QUEUE_LENGTH))
        deliver = _deliver(sink, queue, send, lambda: self._is_busy() and not self._stopping)
        self._tasks.append(asyncio.create_task(deliver, name=f"events to {sink}"))

    async def _to_kubernetes(self, path: str, body: bytes) -> None:
        try:
            await self._post(path, body)
        except (Unreachable, ServerError, InternalError, TooManyRequests) as error:
            raise _Later(str(error)) from error
        except ApiError as error:
            # Forbidden, or the namespace is going: to try again would change nothing.
            raise _Never(f"{error.status} {error.message}") from error
        except KubeError as error:
            raise _Never(str(error)) from error

    async def _to_notification(self, url: str, body: bytes) -> None:
        assert self._session is not None  # noqa: S101  # this sink starts after the session was made
        try:
            async with self._session.post(
                url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Later(str(error) or "no answer in time") from error
        except ValueError as error:  # an URL that cannot be one
            raise _Never(str(error)) from error
        if status >= 500:
            raise _Later(f"HTTP {status}")
        if status >= 300 and status != 429:  # 429: it knows this event already
            raise _Never(f"HTTP {status}")


_Queued = tuple[float, str, bytes]  # since when (monotonic), where to, what


class _Later(Exception):
    """Not delivered; another try may be."""


class _Never(Exception):
    """Not delivered, nor will it be."""


_RETRYING: Final = tenacity.AsyncRetrying(
    retry=tenacity.retry_if_exception_type(_Later),
    stop=tenacity.stop_after_attempt(_TRIES - 1),  # the first try costs no more than itself
    wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)


async def _deliver(
    sink: Sink, queue: asyncio.Queue[_Queued], send: Post, is_busy: Callable[[], bool]
) -> None:
    while True:
        since, where, body = await queue.get()
        try:
            # A burst of work is not slowed down by the telling of it: the API server does both.
            while is_busy() and time.monotonic() - since < _DEFER_S:
                await asyncio.sleep(_DEFER_STEP_S)
            try:
                await send(where, body)
            except _Later:
                await _RETRYING.copy()(send, where, body)
        except (_Later, _Never) as error:
            metrics.event_dropped(sink, "not delivered")
            log.info("event not delivered", sink=sink, error=error)
        except asyncio.CancelledError:
            metrics.event_dropped(sink, "stopped")
            raise
        finally:
            queue.task_done()


def _metadata(involved: Involved, event: Event) -> dict[str, str]:
    """The object's annotations for events, under what the controller itself says.

    A revision is told as it is: it is public, and commit statuses need it, whatever word of it is a secret's
    value too.
    """
    from_object = {k: v for k, v in involved.annotations.items() if k.startswith(_FROM_ANNOTATIONS)}
    told = {
        key: redact(value, involved.namespace) for key, value in (from_object | dict(event.metadata)).items()
    }
    return told | {key: value for key, value in event.metadata.items() if key.endswith(_REVISION)}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
