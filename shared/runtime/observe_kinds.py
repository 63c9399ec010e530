"""kopf watches our own kinds and tells us what it saw; it does nothing else.

Handlers are `kopf.on.event`: kopf writes no annotation, no finalizer and no event of its own. What kopf
leaves open is closed here (all of it tried with kopf 1.45.2):

- An in-stream error other than 410 ends its operator. So it runs under a supervisor that starts it again,
  with backoff; `ready` is False meanwhile.
- A request that is refused or gets no answer it tries again for a minute, ever more slowly and without a
  word, and then goes on from the version that it knows. But the cluster may have been restored from a backup
  meanwhile, and a watch from a version of the future shows nothing until that is reached again. So we listen
  in on its requests, and such a one ends the operator too: the next begins with a complete list.
- After a 410 it lists again without telling what vanished, and so does a fresh operator. So after each
  complete listing the cache is compared with one list of our own, and what is gone is handled as deleted.
- Its `run_tasks` cancels every task of the loop that is younger than itself. So its root tasks are spawned
  and waited for here.
- It installs signal handlers. So `on_started` is called once it has, for the process to set its own again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import kopf
import msgspec
import structlog

from shared.api.kinds import Kind
from shared.api.meta import Key
from shared.kube import apply, errors
from shared.kube.client import Client
from shared.kube.connection import Connection
from shared.kube.discovery import Discovery
from shared.runtime.cache import Held

log = structlog.get_logger("runtime")

INACTIVITY_S = 50.0  # a silent watch is found within a minute
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
COMPARE_DELAY_S = 1.0  # after the last listed object; kopf does not say when a repeated listing is over
COMPARE_INTERVAL_S = 600.0  # if everything vanished while a watch was broken, no listed object tells of it
CRD_POLL_S = 3.0
SYNC_S = 30.0  # for kopf to hand over its first list; what was deleted meanwhile would be waited for in vain


class Interrupted(Exception):
    """What is watched has to be listed anew."""


class KindSink(Protocol):
    """Who wants to know about the objects of a kind. Calls must not block."""

    def observed(self, raw: Mapping[str, Any], *, went_back: bool = False) -> None:
        """The object as it is now; `went_back`: although that is older than what was seen before."""

    def vanished(self, key: Key, uid: str | None = None) -> None:
        """The object is gone; with a `uid`, that very one and no later one of the same name."""

    def held(self) -> dict[Key, Held]:
        """What the sink holds, and in which state."""


@dataclass(slots=True)
class _Followed:
    kind: Kind[Any]
    sink: KindSink
    label_selector: str
    listed: asyncio.Event = field(default_factory=asyncio.Event)  # a listing went by: compare
    synced: asyncio.Event = field(default_factory=asyncio.Event)  # the sink once held all that existed
    newest: int = 0  # resourceVersion, seen in this life of the operator
    watched: asyncio.Event = field(default_factory=asyncio.Event)  # in this life: the API server said yes


class Observer:
    """Follows some kinds, in all namespaces or in one, for as long as `run` runs."""

    def __init__(
        self,
        connection: Connection,
        client: Client,
        discovery: Discovery,
        *,
        namespace: str = "",
        on_started: Callable[[], None] = lambda: None,
        on_return: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """
        Args:
            on_started: whenever kopf has begun, which has set signal handlers by then.
            on_return: when the API server answers again after a failure, before anything is taken from it.
        """
        self._connection = connection
        self._client = client
        self._discovery = discovery
        self._namespace = namespace
        self._on_started = on_started
        self._on_return = on_return
        self._interruption: asyncio.Future[None] | None = None
        self._followed: list[_Followed] = []
        self.ready = False
        self.why_not = "not started"

    def follow(self, kind: Kind[Any], sink: KindSink, label_selector: str = "") -> None:
        """Before `run`: feed the objects of `kind` that `label_selector` selects to `sink`."""
        self._followed.append(_Followed(kind, sink, label_selector))

    async def synced(self) -> None:
        """Wait until the sinks hold all that existed at the start: before that, absent means nothing."""
        for one in self._followed:
            await one.synced.wait()

    async def run(self) -> None:
        """Watch until cancelled."""
        comparers = [asyncio.create_task(self._compare_for_ever(one)) for one in self._followed]
        failures = 0
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    await self._wait_for_crds()
                    if failures and self._on_return is not None:
                        await self._on_return()
                    began = asyncio.get_running_loop().time()
                    await self._operate()
                    why = "kopf's operator ended"
                except Exception as error:  # whatever ends a watcher must not end the controller
                    why = f"{type(error).__name__}: {error}"
                if asyncio.get_running_loop().time() - began > 60:
                    failures = 0
                delay = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                failures += 1
                self.ready, self.why_not = False, why
                log.info("observer restarts", because=why, next_s=delay)
                await asyncio.sleep(delay)
        finally:
            for task in comparers:
                task.cancel()

    async def _wait_for_crds(self) -> None:
        """Wait until the API server serves every followed kind: kopf would wait without a word."""
        said = ""
        while True:
            try:
                for one in self._followed:
                    self._discovery.forget(one.kind.group)
                    await self._discovery.find(one.kind.group, one.kind.version, one.kind.kind)
                return
            except errors.KubeError as error:
                self.ready, self.why_not = False, str(error)
                if self.why_not != said:
                    said = self.why_not
                    is_missing = isinstance(error, errors.NoMatch)
                    hint = "install the CRDs: kubectl apply -k deploy/crds" if is_missing else "none: retried"
                    log.info("waiting for a kind", because=said, remedy=hint)
            await asyncio.sleep(CRD_POLL_S)

    async def _operate(self) -> None:
        """One life of kopf's operator; returns or raises when it ends."""
        registry = kopf.OperatorRegistry()
        interruption = self._interruption = asyncio.get_running_loop().create_future()
        for one in self._followed:
            one.newest = 0
            one.watched.clear()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._connection.tls or False),
            headers={"Authorization": self._connection.authorization(), "Accept-Encoding": "identity"},
            trust_env=False,
            trace_configs=[self._listening_in()],
        )

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> Any:
            return kopf.AiohttpSession(server=self._connection.server, aiohttp_session=session)

        for one in self._followed:
            kopf.on.event(one.kind.group, one.kind.version, one.kind.plural, registry=registry)(_handler(one))
        started = asyncio.Event()
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=self._settings(),
            clusterwide=not self._namespace,
            namespaces=[self._namespace] if self._namespace else [],
            standalone=True,
            ready_flag=started,
        )
        try:
            readiness = asyncio.create_task(self._mark_ready(started))
            readiness.add_done_callback(_raise_soon(tasks))
            ended, _ = await asyncio.wait([*tasks, interruption], return_when=asyncio.FIRST_COMPLETED)
            if readiness.done():
                readiness.result()
            for task in ended:
                task.result()  # raises what ended it
        finally:
            readiness.cancel()
            interruption.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await session.close()

    def _listening_in(self) -> aiohttp.TraceConfig:
        """What kopf keeps to itself: whether it has a watch, and what keeps it from one."""

        async def failed(_session: object, _context: object, it: aiohttp.TraceRequestExceptionParams) -> None:
            if isinstance(it.exception, aiohttp.ClientError | TimeoutError | OSError):
                self._interrupt(f"no answer from the API server: {it.exception}")

        async def answered(_session: object, _context: object, it: aiohttp.TraceRequestEndParams) -> None:
            status = it.response.status
            if status >= 400 and status != 429:  # 429: later, and kopf heeds when
                self._interrupt(f"the API server answers {status} to {it.method} {it.url.path}")
            for one in self._followed:
                if it.url.path.endswith(f"/{one.kind.plural}") and "watch" in it.url.query and status == 200:
                    one.watched.set()

        config = aiohttp.TraceConfig()
        config.on_request_exception.append(failed)
        config.on_request_end.append(answered)
        return config

    def _interrupt(self, why: str) -> None:
        if self._interruption is not None and not self._interruption.done():
            self._interruption.set_exception(Interrupted(why))

    async def _mark_ready(self, started: asyncio.Event) -> None:
        await started.wait()
        self._on_started()
        for one in self._followed:
            while not one.synced.is_set():
                try:
                    await self._compare(one, wait_s=SYNC_S)
                    one.synced.set()
                except errors.KubeError as error:
                    log.info("cannot compare with a list", kind=one.kind.kind, because=str(error))
                    await asyncio.sleep(BACKOFF_S[1])
            one.listed.set()
        for one in self._followed:
            await one.watched.wait()
        self.ready, self.why_not = True, ""

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False  # else exceptions' texts become Kubernetes events (reliability A50)
        settings.scanning.disabled = True  # watching CRDs needs rights that a controller should not have
        settings.watching.inactivity_timeout = INACTIVITY_S
        settings.watching.connect_timeout = 10.0
        settings.process.ultimate_exiting_timeout = None
        settings.persistence.diffbase_storage = _NoDiffBase()
        settings.persistence.progress_storage = _NoProgress()
        for one in self._followed:
            if one.label_selector:
                settings.watching.label_selectors[(one.kind.group, one.kind.plural)] = one.label_selector
        return settings

    async def _compare_for_ever(self, one: _Followed) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(one.listed.wait(), COMPARE_INTERVAL_S)
            await asyncio.sleep(COMPARE_DELAY_S)
            one.listed.clear()
            try:
                await self._compare(one)
            except errors.KubeError as error:
                log.info("cannot compare with a list", kind=one.kind.kind, because=str(error))
                one.listed.set()
                await asyncio.sleep(BACKOFF_S[-1])

    async def _compare(self, one: _Followed, wait_s: float = 0.0) -> None:
        """Tell the sink what it holds and a list does not; first wait until it holds all that the list
        has."""
        held = one.sink.held()
        if not held and not wait_s:
            return
        resource = await self._discovery.find(one.kind.group, one.kind.version, one.kind.kind)
        listed = await apply.list_metadata(
            self._client, resource, self._namespace, identity=None, label_selector=one.label_selector
        )
        version = int(listed.resource_version) if listed.resource_version.isdigit() else one.newest
        if version < one.newest:
            self._interrupt("the cluster went back in time")
        one.newest = version
        alive = {Key(one.kind.kind, meta.namespace, meta.name): meta for meta in listed.items}
        deadline = asyncio.get_running_loop().time() + wait_s
        while alive.keys() - one.sink.held().keys() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)  # kopf is still handing over what it listed
        for key, (uid, version) in held.items():
            meta = alive.get(key)
            if meta is None:
                log.info("object vanished unseen", key=str(key))
                one.sink.vanished(key, uid)
            elif meta.uid == uid and meta.resource_version.isdigit() and int(meta.resource_version) < version:
                # Restored from a backup (reliability F24): what we hold is of a future that did not happen.
                log.error("object went back in time", key=str(key))
                raw = await self._client.request("GET", resource.path(key.namespace, key.name))
                one.sink.observed(msgspec.json.decode(raw), went_back=True)


def _raise_soon(tasks: Collection[asyncio.Task[Any]]) -> Callable[[asyncio.Task[None]], None]:
    """End the operator when the task that makes it ready failed, so that the supervisor tells and starts
    again."""

    def on_done(readiness: asyncio.Task[None]) -> None:
        if not readiness.cancelled() and readiness.exception() is not None:
            for task in tasks:
                task.cancel()

    return on_done


def _handler(one: _Followed) -> Callable[..., Any]:
    async def on_event(event: Mapping[str, Any], **_: object) -> None:
        raw = event["object"]
        one.newest = max(one.newest, Held.of(raw["metadata"]).version)
        if event["type"] == "DELETED":
            one.sink.vanished(Key.of(one.kind.kind, raw), raw["metadata"]["uid"])
            return
        if event["type"] is None:
            one.listed.set()
        one.sink.observed(raw)

    return on_event


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf computes an essence of every object for change detection, which we do not use."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ARG002  # kopf's signature
        return {}

    def fetch(self, *, body: Any) -> Any:  # noqa: ARG002
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Nothing: kopf writes nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Handlers of `on.event` have no progress."""

    def fetch(self, *, key: Any, body: Any) -> Any:  # noqa: ARG002
        return None

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:
        """Nothing."""

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:
        """Nothing."""

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:
        """Nothing."""

    def clear(self, *, essence: Any) -> Any:
        return essence
