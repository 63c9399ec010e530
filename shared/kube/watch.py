"""The reflector: a complete list, then every change to it, for as long as the process lives.

It hides what a watch can do wrong: streams that end, break or fall silent are resumed from the last
resourceVersion (a bookmark moves it without a change); after a connection that broke or could not be made,
one object is asked for first, to see that the cluster was not put back to an older state meanwhile, for a
watch from a version of the future shows nothing; a version that is too old (410, in the answer or in
the stream) means a new complete list, by which the sink learns what vanished meanwhile. Only a complete
list says that something is absent.

Metadata only: the objects of tenants are never held, and the API server sends a fraction of the bytes.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from shared.kube import apply, errors
from shared.kube.client import METADATA_ONLY, Client, Identity
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta, PartialObject

log = structlog.get_logger("runtime")

# The API server sends a bookmark about once a minute; a watch that is silent for longer than this is opened
# again, so that a half-open connection is found within a minute (reliability F08).
SILENCE_S = 55.0
BRIEF_S = 1.0  # a stream that ends sooner was no use: the next one is opened with backoff
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


class NotServed(errors.KubeError):
    """The API server does not know the kind in this version (any more)."""

    def __init__(self, kind: str, api_version: str) -> None:
        super().__init__(f'kind "{kind}" is not served in version "{api_version}"')


class Sink(Protocol):
    """What a reflector feeds. Calls come from one task, in order, and must not block."""

    def listing(self) -> None:
        """A complete list is about to be asked for; `replace` follows with its answer, if there is one."""

    def replace(self, items: list[ObjectMeta], version: int) -> None:
        """All objects that exist at the resourceVersion `version`; what is not among them is gone."""

    def changed(self, meta: ObjectMeta) -> None:
        """The object was created or changed, or entered the selection."""

    def removed(self, meta: ObjectMeta) -> None:
        """The object was deleted or left the selection; `meta` is its last state."""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Trouble(msgspec.Struct):
    code: int = 0
    message: str = ""


_event = msgspec.json.Decoder(_Event)
_object = msgspec.json.Decoder(PartialObject)
_trouble = msgspec.json.Decoder(_Trouble)


class Reflector:
    """Follows all objects of one kind that both selectors select, in all namespaces or in one.

    Args:
        identity: whom to act as; the controller's own rights by default.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        sink: Sink,
        *,
        label_selector: str = "",
        field_selector: str = "",
        namespace: str = "",
        identity: Identity | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._resource = resource
        self._sink = sink
        self._selector = label_selector
        self._field_selector = field_selector
        self._namespace = namespace
        self._identity = identity
        self._jitter = jitter
        self._failures = 0
        self._was_cut = False  # since the last answer

    async def run(self) -> None:
        """List and watch until cancelled. Errors are retried for ever, with backoff, and logged once a row.

        Raises:
            NotServed: nothing more is to be had under this version.
        """
        version = ""
        while True:
            try:
                if version and self._was_cut and await self._went_back(version):
                    version = ""
                if not version:
                    version = await self._list()
                self._was_cut = False
                version = await self._watch(version)
                self._failures = 0
            except errors.Gone:
                version = ""
            except (errors.KubeError, msgspec.DecodeError) as error:
                if isinstance(error, errors.ApiError) and error.status == 404:
                    raise NotServed(self._resource.kind, self._resource.api_version) from error
                self._was_cut |= isinstance(error, errors.Unreachable)
                await self._back_off(error)
                if isinstance(error, errors.ApiError | msgspec.DecodeError):
                    version = ""  # whatever the answer meant, a complete list is right again

    async def _list(self) -> str:
        self._sink.listing()
        listed = await apply.list_metadata(
            self._client,
            self._resource,
            self._namespace,
            identity=self._identity,
            label_selector=self._selector,
            field_selector=self._field_selector,
        )
        version = int(listed.resource_version) if listed.resource_version.isdigit() else 0
        self._sink.replace(listed.items, version)
        return listed.resource_version

    async def _went_back(self, version: str) -> bool:
        """Whether the cluster is at an older state than `version` (restored from a backup: reliability
        F24)."""
        page = await apply.list_metadata(
            self._client, self._resource, self._namespace, identity=self._identity, at_most=1,
            label_selector=self._selector, field_selector=self._field_selector,
        )  # fmt: skip
        now = page.resource_version
        if not (now.isdigit() and version.isdigit()) or int(now) >= int(version):
            return False
        log.info("the cluster went back in time", kind=self._resource.kind, version=now, known=version)
        return True

    async def _watch(self, version: str) -> str:
        """Follow one stream from `version`; returns the version to go on from when it ends."""
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        if self._selector:
            query["labelSelector"] = self._selector
        if self._field_selector:
            query["fieldSelector"] = self._field_selector
        path = self._resource.path(self._namespace)
        now = asyncio.get_running_loop().time
        opened: float | None = None
        try:
            async with self._client.stream(
                path, query=query, accept=METADATA_ONLY, silence_s=SILENCE_S, identity=self._identity
            ) as lines:
                opened = now()
                async for line in lines:
                    version = self._take(line) or version
        except errors.Silent:
            return version  # the usual end of a quiet stream: open the next one at once
        except errors.Unreachable:
            if opened is None or now() - opened < BRIEF_S:
                raise
            self._was_cut = True
            return version
        if now() - opened < BRIEF_S:
            raise errors.Unreachable(f"watch {path}: ended at once")
        return version

    def _take(self, line: bytes) -> str:
        event = _event.decode(line)
        if event.type == "ERROR":
            trouble = _trouble.decode(event.object)
            raise errors.from_response(trouble.code, bytes(event.object))
        meta = _object.decode(event.object).metadata if event.type != "BOOKMARK" else None
        if meta is None:
            return _bookmark.decode(event.object).metadata.resource_version
        if event.type == "DELETED":
            self._sink.removed(meta)
        else:
            self._sink.changed(meta)
        return meta.resource_version

    async def _back_off(self, error: Exception) -> None:
        delay = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)] * (0.75 + 0.5 * self._jitter())
        if self._failures <= 1:
            log.info(
                "watch interrupted", kind=self._resource.kind, because=str(error), next_s=round(delay, 2)
            )
        self._failures += 1
        await asyncio.sleep(delay)


class _BookmarkMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMeta


_bookmark = msgspec.json.Decoder(_Bookmark)
