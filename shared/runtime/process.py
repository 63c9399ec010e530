"""One controller process, from flags to the last event delivered.

    start   logs ► connection ► health and metrics ► kopf's watch
    lead    once elected (at once without election) and once the caches hold all that exists: workers
    stop    on SIGTERM or SIGINT: no new run begins, those under way get `Parts.grace_s`, then they are
            cancelled (which is safe: every step may be repeated); events are delivered for `EVENTS_S`, the
            lease is given back
    return  of an API server that was away: it must be the same cluster's, or the process ends at once, for
            what it knows is of another one

A controller package brings an `assemble` that builds its `Parts` in a given `Setting`.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog
import uvloop

from shared.api.kinds import Kind
from shared.kube.client import JSON, Client
from shared.kube.connection import Connection, NoConnection, load
from shared.kube.discovery import Discovery
from shared.runtime import health, leader, logs, metrics
from shared.runtime.controller import Controller
from shared.runtime.events import Recorder
from shared.runtime.observe_kinds import KindSink, Observer
from shared.runtime.pace import Pace
from shared.runtime.queue import Queue
from shared.runtime.reconciler import R, Reconciler

log = structlog.get_logger("setup")

EVENTS_S = 2.0
CLOSE_S = 3.0  # what ends after the events takes less: servers give requests under way a second


@dataclass(frozen=True, slots=True)
class Setting:
    """What a controller is assembled in."""

    client: Client
    discovery: Discovery
    recorder: Recorder
    held: Callable[[], bool]
    flags: Mapping[str, Any]

    def controller(self, reconciler: Reconciler[R]) -> Controller[R]:
        """A controller for one kind, at the pace that the flags name (`process_flags.PACE` among them)."""
        pace = Pace(
            concurrent=self.flags["concurrent"],
            min_retry_s=self.flags["min-retry-delay"],
            max_retry_s=self.flags["max-retry-delay"],
            requeue_dependency_s=self.flags["requeue-dependency"],
            jitter=self.flags["interval-jitter-percentage"] / 100,
        )
        return Controller(reconciler, client=self.client, recorder=self.recorder, pace=pace, held=self.held)


@dataclass(frozen=True, slots=True)
class Parts:
    """A controller, ready to be started.

    Attributes:
        controllers: each watches its own kind, restricted by --watch-label-selector.
        sinks: further kinds that are watched, in full.
        lead: called once leading, before the workers start (the artifact server starts here).
        close: called at the end, in this order.
        grace_s: for runs under way when the process is told to stop. With `EVENTS_S` and `CLOSE_S` it must
            fit into the pod's terminationGracePeriodSeconds.
        returned: asked when the API server answers again after it was lost; a text says why we cannot go on.
    """

    controllers: Sequence[Controller[Any]]
    grace_s: float
    sinks: Sequence[tuple[Kind[Any], KindSink]] = ()
    lead: Callable[[], Awaitable[None]] | None = None
    ready: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    close: Sequence[Callable[[], Awaitable[None]]] = ()
    returned: Callable[[], Awaitable[str]] | None = None


Assemble = Callable[[Setting], Awaitable[Parts]]


def main(name: str, flags: Mapping[str, Any], unheeded: Sequence[str], assemble: Assemble) -> int:
    """Run the controller `name` until it is told to stop; returns the exit code."""
    logs.setup(flags["log-level"], flags["log-encoding"])
    # What was imported lives as long as the process: the collector need not look at it again and again.
    # Requests and their answers make garbage without cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    for flag in unheeded:
        log.info("flag is accepted and changes nothing in this release", flag=flag)
    try:
        connection = load(None)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(name, flags, connection, assemble))
    except (NoConnection, health.CannotListen, ValueError) as error:
        log.error("cannot start", error=str(error))
        return 1
    return 0


async def _run(name: str, flags: Mapping[str, Any], connection: Connection, assemble: Assemble) -> None:
    client = Client(connection, user_agent=f"headrace-{name}")
    discovery = Discovery(client)
    host = urlsplit(connection.server).netloc
    client.on_answer = lambda code, method: metrics.requested(code, host, method)

    async def post(path: str, body: bytes) -> None:
        await client.request("POST", path, body=body, content_type=JSON)

    busy: list[Queue] = []
    recorder = Recorder(name, post, flags["events-addr"], lambda: any(len(queue) for queue in busy))
    election = _election(name, flags, connection)
    stop = asyncio.Event()
    set_signals = _signal_setter(stop)
    parts = await assemble(Setting(client, discovery, recorder, election.held, flags))

    async def returned() -> None:
        if parts.returned is not None and (why := await parts.returned()):
            _exit_at_once("cannot go on", why)

    busy.extend(controller.queue for controller in parts.controllers)
    observer = Observer(
        connection,
        client,
        discovery,
        namespace="" if flags["watch-all-namespaces"] else os.environ.get("RUNTIME_NAMESPACE", ""),
        on_started=set_signals,
        on_return=returned,
    )
    for controller in parts.controllers:
        observer.follow(controller.kind, controller, flags["watch-label-selector"])
    for kind, sink in parts.sinks:
        observer.follow(kind, sink)
    readiness = health.Readiness()
    readiness.add("watch", lambda: observer.why_not)
    for check, ask in parts.ready.items():
        readiness.add(check, ask)
    servers = await _serve(flags, readiness)
    set_signals()
    await recorder.start()
    watching = asyncio.create_task(observer.run(), name="observer")
    leading = asyncio.create_task(_lead(parts, observer, election), name="leading")
    log.info("started", controller=name, cluster=connection.server)
    try:
        waiting = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({waiting, leading, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()  # neither ends by itself unless something is broken: raise it
    finally:
        log.info("stopping")
        for controller in parts.controllers:
            controller.queue.close()
        await _drain(parts.controllers, parts.grace_s)
        for task in (leading, watching):
            task.cancel()
        await asyncio.gather(leading, watching, return_exceptions=True)
        await recorder.stop(EVENTS_S)
        for close in parts.close:
            await close()
        await asyncio.gather(*(server.stop() for server in servers))
        election.stop()
        await client.close()
        log.info("stopped")


async def _lead(parts: Parts, observer: Observer, election: leader.Election) -> None:
    """Work as long as we lead. Returns never; a lost lease ends the process from the election's own
    thread."""
    await election.acquired()
    await observer.synced()
    if parts.lead is not None:
        await parts.lead()
    async with asyncio.TaskGroup() as group:
        for controller in parts.controllers:
            group.create_task(controller.work(), name=f"workers of {controller.kind.kind}")


async def _drain(controllers: Sequence[Controller[Any]], grace_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + grace_s
    while any(c.queue.busy() for c in controllers) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)


async def _serve(flags: Mapping[str, Any], readiness: health.Readiness) -> list[health.Server]:
    servers = []
    for address, app in (
        (flags["health-addr"], health.health_app(readiness)),
        (flags["metrics-addr"], health.metrics_app()),
    ):
        if address is not None:
            servers.append(await health.Server.start(app, address))
    return servers


def _election(name: str, flags: Mapping[str, Any], connection: Connection) -> leader.Election:
    lease = leader.lease_name(name, flags["watch-label-selector"])
    if not flags["enable-leader-election"]:
        metrics.leading(lease, held=True)
        return leader.NoElection()
    terms = leader.Terms(
        namespace=os.environ.get("RUNTIME_NAMESPACE", "flux-system"),
        name=lease,
        identity=leader.identity(os.environ),
        lease_s=flags["leader-election-lease-duration"],
        renew_deadline_s=flags["leader-election-renew-deadline"],
        retry_s=flags["leader-election-retry-period"],
        release=flags["leader-election-release-on-cancel"],
    )
    return leader.LeaseElection(connection, terms, partial(_exit_at_once, "leader election lost")).start()


def _exit_at_once(what: str, why: str) -> None:
    """A lease that is lost means that another replica may be at work: nothing of ours may go on. So it is in
    another cluster."""
    log.error(what, error=why)
    os._exit(1)


def _signal_setter(stop: asyncio.Event) -> Callable[[], None]:
    loop = asyncio.get_running_loop()

    def set_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    return set_signals


__all__ = ["Assemble", "Parts", "Setting", "main"]
