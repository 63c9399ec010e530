"""First contact: what is there where an object is to be applied that we do not know and could not make.

It exists already, with `reconcile: disabled` on it, or with fields that kubectl owns, and without our
labels no watch shows it. So it is looked at, as the tenant, before it is written. Where many objects of one
kind and namespace wait at the same time, they share one list; what a list showed is good for `GOOD_FOR_S`,
since an object that somebody makes at the very time of a first apply may be missed by a look just before
it as well.
"""

import asyncio
from dataclasses import dataclass, field

from shared.kube import apply, errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta

LIST_FROM = 3  # that many looks at once are dearer than one list of a usual namespace
LIST_AT_MOST = 500  # objects; a fuller namespace is looked at one by one
GOOD_FOR_S = 2.0
NO_LISTS_S = 60.0  # after a list was refused or too long

_Place = tuple[str | None, Resource, str]  # identity, kind, namespace


@dataclass(slots=True)
class _Waiting:
    """Looks that wait for the same place."""

    names: dict[str, asyncio.Future[ObjectMeta | None]] = field(default_factory=dict)


class Contact:
    """Looks at objects, many at a time. Used from one event loop only."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: dict[_Place, _Waiting] = {}
        self._recent: dict[_Place, tuple[float, dict[str, ObjectMeta]]] = {}
        self._no_lists: dict[_Place, float] = {}  # until when
        self._lately: dict[_Place, tuple[float, int]] = {}  # since when, how many looks
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        identity: Identity | None,
        *,
        fresh: bool = False,
    ) -> ObjectMeta | None:
        """The metadata of an object, or None when it is not there.

        Args:
            fresh: as it is now: what a list showed a moment ago is not good enough. So for objects that we
                know: a change of theirs brought us here.

        Raises:
            ApiError, Unreachable: it could not be looked at.
        """
        loop = asyncio.get_running_loop()
        place: _Place = (identity.user if identity else None, resource, namespace)
        recent = self._recent.get(place)
        if recent is not None and not fresh:
            if loop.time() - recent[0] < GOOD_FOR_S:
                return recent[1].get(name)
            del self._recent[place]
        waiting = self._waiting.get(place)
        if waiting is None:
            waiting = self._waiting[place] = _Waiting()
            task = loop.create_task(self._serve(place, identity, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        future = waiting.names.get(name)
        if future is None:
            future = waiting.names[name] = loop.create_future()
        return await asyncio.shield(future)

    async def _serve(self, place: _Place, identity: Identity | None, waiting: _Waiting) -> None:
        await asyncio.sleep(0)  # let all that become ready in this turn of the loop join
        del self._waiting[place]
        _, resource, namespace = place
        names = waiting.names
        if self._are_many(place, len(names)):
            found = await self._list(place, identity)
            if found is not None:
                for name, future in names.items():
                    if not future.done():
                        future.set_result(found.get(name))
                return
        await asyncio.gather(
            *(self._get(resource, namespace, name, identity, future) for name, future in names.items())
        )

    def _are_many(self, place: _Place, count: int) -> bool:
        """Whether a list pays: that many now, or a stream of single looks at the same place."""
        now = asyncio.get_running_loop().time()
        since, before = self._lately.get(place, (now, 0))
        if now - since > GOOD_FOR_S:
            since, before = now, 0
        self._lately[place] = (since, before + count)
        return before + count >= LIST_FROM and self._no_lists.get(place, 0.0) < now

    def _expire(self, place: _Place) -> None:
        """Nothing is kept beyond its use: a place may never be looked at again."""
        now = asyncio.get_running_loop().time()
        recent = self._recent.get(place)
        if recent is not None and now - recent[0] >= GOOD_FOR_S:
            del self._recent[place]
        for one in [one for one, (since, _) in self._lately.items() if now - since > GOOD_FOR_S]:
            del self._lately[one]
        for one in [one for one, until in self._no_lists.items() if until < now]:
            del self._no_lists[one]

    async def _list(self, place: _Place, identity: Identity | None) -> dict[str, ObjectMeta] | None:
        """All objects of the place by name; None when a list is no way here (no right to it, or too many)."""
        _, resource, namespace = place
        loop = asyncio.get_running_loop()
        try:
            listed = await apply.list_metadata(
                self._client, resource, namespace, identity=identity, at_most=LIST_AT_MOST
            )
        except errors.KubeError:
            # A tenant may be allowed to get and not to list; the looks tell.
            self._no_lists[place] = loop.time() + NO_LISTS_S
            return None
        if not listed.complete:
            self._no_lists[place] = loop.time() + NO_LISTS_S
            return None
        found = {meta.name: meta for meta in listed.items}
        self._recent[place] = (loop.time(), found)
        loop.call_later(GOOD_FOR_S, self._expire, place)
        return found

    async def _get(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        identity: Identity | None,
        future: "asyncio.Future[ObjectMeta | None]",
    ) -> None:
        try:
            found = await apply.get_metadata(self._client, resource, namespace, name, identity=identity)
        except Exception as error:  # the askers wait for an answer, whatever it is
            if not future.done():
                future.set_exception(error)
                future.exception()  # an asker that was cancelled leaves nobody to fetch it
        else:
            if not future.done():
                future.set_result(found)
