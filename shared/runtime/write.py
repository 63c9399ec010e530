"""Writes to our own objects: status and finalizers.

Each names the resourceVersion that it was made from, and sends nothing that changes nothing. The UID would
not do: the API server compares it in a write to the object, but overlooks it in one to the status of a
custom resource, so that what is said of an object would land on its successor. Lists of conditions and
history are replaced whole, too, and must not undo what another writer has just written.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from shared.api.instant import instant
from shared.api.meta import Key
from shared.kube import errors
from shared.kube.client import MERGE_PATCH, Client
from shared.kube.discovery import Resource
from shared.runtime import merge_patch, report
from shared.runtime.cache import Cache, RawObject
from shared.runtime.report import Finding

ATTEMPTS = 3


class Writer:
    """Writes for one kind.

    Args:
        manager: the field manager of our patches.
        took: called with (old, new) when an answer brought a newer state into the cache.
        gone: called with (key, uid) when a write found that the object is not there.
    """

    def __init__(
        self,
        client: Client,
        served: Resource,
        cache: Cache,
        *,
        manager: str,
        took: Callable[[RawObject | None, RawObject], None],
        gone: Callable[[Key, str], None],
    ) -> None:
        self._client = client
        self._served = served
        self._cache = cache
        self._manager = manager
        self._took = took
        self._gone = gone

    async def status(self, key: Key, uid: str, generation: int, finding: Finding) -> None:
        """Patch the status to what `finding` makes of it. An object that is gone or another by now is left
        alone.

        Raises:
            ApiError, Unreachable: not written, or not known.
        """
        for attempt in range(ATTEMPTS):
            raw = self._cache.get(key, uid)
            if raw is None:
                return
            old = raw.get("status", {})
            new = report.next_status(
                old, finding, namespace=key.namespace, generation=generation, now=instant()
            )
            patch = merge_patch.difference(old, new)
            if not patch:
                return
            made_from = {"uid": uid, "resourceVersion": raw["metadata"]["resourceVersion"]}
            try:
                await self._patch(key, uid, {"metadata": made_from, "status": patch}, "status")
                return
            except errors.NotFound:
                self._gone(key, uid)
                return
            except errors.Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                await self._read_again(key, uid)

    async def finalizers(
        self, key: Key, uid: str, change: Callable[[list[str]], list[str]]
    ) -> RawObject | None:
        """Replace the finalizers by what `change` makes of them; the object after it, or None when it is
        gone.

        The list is replaced whole, so resourceVersion makes sure that nobody else's finalizer is lost.
        """
        for attempt in range(ATTEMPTS):
            raw = self._cache.get(key, uid)
            if raw is None:
                return None
            meta = raw["metadata"]
            now = list(meta.get("finalizers", ()))
            wanted = change(now)
            if wanted == now:
                return raw
            must_be = {"uid": uid, "resourceVersion": meta["resourceVersion"]}
            try:
                return await self._patch(key, uid, {"metadata": {**must_be, "finalizers": wanted}})
            except errors.NotFound:
                return None
            except errors.Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                await self._read_again(key, uid)
        return None

    async def _patch(self, key: Key, uid: str, body: Mapping[str, Any], subresource: str = "") -> RawObject:
        path = self._served.path(key.namespace, key.name) + (f"/{subresource}" if subresource else "")
        answer = await self._client.request(
            "PATCH",
            path,
            body=msgspec.json.encode(body),
            content_type=MERGE_PATCH,
            query={"fieldManager": self._manager},
        )
        raw: RawObject = msgspec.json.decode(answer)
        # The watch may have overtaken the answer: an object that is gone by now, or another under its name,
        # is not to be replaced by what was.
        if self._cache.get(key, uid) is not None:
            self._take(raw)
        return raw

    def _take(self, raw: RawObject) -> None:
        taken, old = self._cache.put(raw)
        if taken:
            self._took(old, raw)

    async def _read_again(self, key: Key, uid: str) -> None:
        try:
            answer = await self._client.request("GET", self._served.path(key.namespace, key.name))
        except errors.NotFound:
            self._gone(key, uid)
        else:
            self._take(msgspec.json.decode(answer))
