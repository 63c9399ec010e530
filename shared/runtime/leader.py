"""Leader election: of several replicas, one works. A Lease of coordination.k8s.io/v1 says which.

The holder renews the Lease; a candidate takes it when it is free, or when its content has not changed for a
lease duration *by the candidate's own monotonic clock* (nobody's wall clock is compared). All of it happens
in a thread of its own with a blocking client, so that a busy event loop does not lose the Lease.

A Lease is a hint, not a fence: between the last renewal and what it allowed, another may have begun. So
`held()` is asked before each stage and each delete, it turns False by itself when the renew deadline passes
(also while this process was stopped or its machine slept), and whoever lost the Lease exits.

Requests at rest. With Flux's 35 s lease, 30 s deadline and 5 s retry period the holder renews every 10 s, not
every 5 s: still three chances before the deadline, at 6 requests a minute. A candidate does not poll: it
watches this one Lease (a request per 35 s, an event per renewal), which also makes it take over at once when
the Lease is given back.

Source: the contract, telemetry.md 4; reliability.md F13, F14, F16; the Lease's fields as client-go writes
them.
"""

import asyncio
import contextlib
import hashlib
import math
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shared.kube.connection import Connection
from shared.kube.errors import Conflict, KubeError, NotFound
from shared.runtime import logs, metrics
from shared.runtime.lease import LeaseObject, holder

__all__ = ["Election", "LeaseElection", "NoElection", "Terms", "identity", "lease_name"]

log = logs.logger("leader-election")

_SLOWEST_RENEWAL_S = 10.0
_REQUEST_S = 5.0  # for an answer; shorter than the deadline, so that one lost request does not cost the Lease


class Election(Protocol):
    """Whether this process may work."""

    def held(self) -> bool: ...
    async def acquired(self) -> None: ...
    def stop(self) -> None: ...


class NoElection:
    """Election is off, Flux's default: everyone works at once."""

    def held(self) -> bool:
        return True

    async def acquired(self) -> None:
        return

    def stop(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class Terms:
    """Which Lease, who we are, and how long things take.

    Raises:
        ValueError: the times contradict each other.
    """

    namespace: str
    name: str
    identity: str
    lease_s: float = 35.0
    renew_deadline_s: float = 30.0
    retry_s: float = 5.0
    release: bool = True

    def __post_init__(self) -> None:
        if not self.lease_s > self.renew_deadline_s > self.retry_s > 0:
            raise ValueError(
                "leader election: the lease duration must be longer than the renew deadline, and that longer "
                "than the retry period; "
                f"they are {self.lease_s:g} s, {self.renew_deadline_s:g} s and {self.retry_s:g} s"
            )

    @property
    def renew_every_s(self) -> float:
        return max(self.retry_s, min(_SLOWEST_RENEWAL_S, self.renew_deadline_s / 3))


def lease_name(controller: str, label_selector: str) -> str:
    """`<controller>-leader-election`; shards, which have a label selector each, elect each for themselves."""
    suffix = f"-{hashlib.sha256(label_selector.encode()).hexdigest()[:8]}" if label_selector else ""
    return f"{controller}-leader-election{suffix}"


def identity(environ: Mapping[str, str]) -> str:
    """Who holds: host name and the pod's UID (`POD_UID`), so that a restarted container is the same holder.

    Without the UID a random suffix takes its place: then nobody else is us, and neither are we after a
    restart.
    """
    return f"{socket.gethostname()}_{environ.get('POD_UID') or secrets.token_hex(8)}"


def _now_s() -> float:
    """Seconds that pass also while the machine sleeps and never jump with the wall clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseElection:
    """Takes part in the election from `start` to `stop`.

    Args:
        on_lost: called once, on the election's own thread, with the reason. It should end the process without
            relying on the event loop, which may be what hangs.
        now_s: a clock that never goes back; an argument for tests.
    """

    def __init__(
        self,
        connection: Connection,
        terms: Terms,
        on_lost: Callable[[str], None],
        now_s: Callable[[], float] = _now_s,
    ) -> None:
        self._terms = terms
        request_s = min(_REQUEST_S, terms.renew_deadline_s / 2)
        self._lease = LeaseObject(connection, terms.namespace, terms.name, request_s)
        self._on_lost = on_lost
        self._now_s = now_s
        self._held_until = -math.inf
        self._stopping = threading.Event()
        self._acquired = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leader-election", daemon=True)
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    def start(self) -> "LeaseElection":
        metrics.leading(self._terms.name, held=False)
        self._thread.start()
        return self

    def held(self) -> bool:
        """Whether this process may still work. Costs a clock reading: ask often."""
        return self._now_s() < self._held_until

    async def acquired(self) -> None:
        """Return once this process is the leader."""
        event = asyncio.Event()
        with self._lock:
            if self._acquired.is_set():
                return
            self._waiters.append((asyncio.get_running_loop(), event))
        await event.wait()

    def stop(self) -> None:
        """Stop taking part; give the Lease back if the terms say so. Call it when all work has ended.

        Waits a request's time at most. A candidate has nothing to give back: its thread ends with the
        process.
        """
        was_leader = self._acquired.is_set()
        self._stopping.set()
        if was_leader and self._thread.is_alive():
            self._thread.join(_REQUEST_S + 1)

    def _run(self) -> None:
        try:
            why = self._take_part()
        except Exception as error:  # the thread's last line: a dead election must not look like a held Lease
            log.error("leader election failed", lease=self._terms.name, exc_info=error)
            why = f"leader election failed: {error}"
        self._held_until = -math.inf
        metrics.leading(self._terms.name, held=False)
        if why:
            log.error("leader election lost", lease=self._terms.name, error=why)
            self._on_lost(why)

    def _take_part(self) -> str:
        """Acquire and keep; why the Lease was lost, or "" after `stop`."""
        log.info("attempting to acquire leader lease", lease=self._terms.name, identity=self._terms.identity)
        found = self._acquire()
        if found is None:
            return ""
        log.info("acquired leader lease", lease=self._terms.name)
        metrics.leading(self._terms.name, held=True)
        with self._lock:
            self._acquired.set()
            for loop, event in self._waiters:
                with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits there any more
                    loop.call_soon_threadsafe(event.set)
        return self._renew(found)

    def _acquire(self) -> dict[str, Any] | None:
        """Become the holder; the Lease as it was written then. None if `stop` came first."""
        watched: _Observed | None = None
        while not self._stopping.is_set():
            began = self._now_s()
            try:
                found = self._lease.read()
                # Read after the answer: the holder renewed before it, so it never gets too little time.
                seen = self._now_s()
                if watched is None or found != watched.lease:
                    watched = _Observed(found, seen)
                expires = watched.since + self._terms.lease_s
                if self._free(found) or seen >= expires:
                    written = self._lease.take(found, self._terms.identity, self._terms.lease_s)
                    self._held_until = began + self._terms.renew_deadline_s
                    return written
                self._lease.wait_for_change(found, expires - seen)
            except Conflict:
                continue  # another candidate was faster, or the holder renewed: look again
            except KubeError as error:
                log.error("cannot acquire leader lease", lease=self._terms.name, error=error)
                self._stopping.wait(self._terms.retry_s)
        return None

    def _free(self, found: dict[str, Any] | None) -> bool:
        """Nobody holds it, or we did before this container was restarted."""
        return holder(found) in ("", self._terms.identity)

    def _renew(self, lease: dict[str, Any]) -> str:
        """Keep the Lease until `stop`, which gives ""; or until it is lost, which gives why."""
        pause_s = self._terms.renew_every_s
        while not self._stopping.wait(pause_s):
            began = self._now_s()
            if not self.held():  # stopped or asleep for longer than the deadline: others may have begun
                return f"not renewed within {self._terms.renew_deadline_s:g} s"
            try:
                lease = self._renew_once(lease)
                self._held_until = began + self._terms.renew_deadline_s
                pause_s = self._terms.renew_every_s
            except _Stolen as error:
                return str(error)
            except KubeError as error:
                log.info("cannot renew leader lease; trying again", lease=self._terms.name, error=error)
                pause_s = self._terms.retry_s
            # The last wait ends at the deadline, not after it.
            pause_s = max(0.0, min(pause_s, self._held_until - self._now_s()))
        if self._terms.release:
            self._give_back(lease)
        return ""

    def _renew_once(self, lease: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._lease.renew(lease)
        except (Conflict, NotFound):  # someone wrote to it or removed it: that alone does not end our term
            found = self._lease.read()
            if not self._free(found):
                raise _Stolen(f"the Lease is held by '{holder(found)}' now") from None
            return self._lease.take(found, self._terms.identity, self._terms.lease_s)

    def _give_back(self, lease: dict[str, Any]) -> None:
        # From here on `held()` must be False: the next leader begins as soon as the request arrives.
        self._held_until = -math.inf
        try:
            self._lease.release(lease)
            log.info("released leader lease", lease=self._terms.name)
        except KubeError as error:
            log.info("leader lease not released; it expires", lease=self._terms.name, error=error)


class _Stolen(Exception):
    """Another identity holds the Lease."""


@dataclass(frozen=True, slots=True)
class _Observed:
    lease: dict[str, Any] | None
    since: float  # when this content was first seen
