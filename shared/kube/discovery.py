"""Which kinds an API server serves, and under which path.

Filled on demand, one group version at a time (`/apis/<group>/<version>`, some 3 KB), and kept. A kind that
is missing is looked up again, at most every `RETRY_S`, since a CRD may have arrived meanwhile; `forget`
makes the next look-up at once, for a CRD that we applied ourselves. A kind that is unknown raises
`NoMatch`, which never means that its objects are gone (reliability F26).
"""

import asyncio
import time
from dataclasses import dataclass

import msgspec

from shared.api.objects import join_api_version
from shared.kube import errors
from shared.kube.client import Client

RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Resource:
    """A served kind. `path()` gives the URL path of an object or, without a name, of the collection."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return join_api_version(self.group, self.version)

    def path(self, namespace: str = "", name: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{_segment(namespace)}" if self.namespaced and namespace else ""
        return f"{root}{middle}/{self.plural}{'/' + _segment(name) if name else ''}"


class UnsafeName(ValueError):
    """A name that cannot be a segment of a URL's path."""


def _segment(name: str) -> str:
    """A namespace or name as one segment of a path. Tenants choose names: none may lead to another object.

    Raises:
        UnsafeName: Kubernetes allows no such name anywhere (apimachinery, IsValidPathSegmentName).
    """
    if name in (".", "..") or "/" in name or "%" in name:
        raise UnsafeName(f"'{name}' is not a valid name: it must not be . or .. or contain / or %")
    return name


class _Entry(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False


class _ResourceList(msgspec.Struct):
    resources: list[_Entry] = []


class _GroupVersion(msgspec.Struct, rename="camel"):
    version: str


class _Group(msgspec.Struct, rename="camel"):
    preferred_version: _GroupVersion
    versions: list[_GroupVersion] = []


class Discovery:
    """Answers are shared by all who ask at the same time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], dict[str, Resource]] = {}
        self._asked: dict[tuple[str, str], float] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def find(self, group: str, version: str, kind: str) -> Resource:
        """The resource for a kind.

        Raises:
            NoMatch: not served, or not any more.
            ApiError, Unreachable: the server could not be asked.
        """
        key = (group, version)
        known = self._known.get(key, {}).get(kind)
        if known is not None:
            return known
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known.get(key, {}).get(kind)
            if known is not None:
                return known
            if time.monotonic() - self._asked.get(key, -RETRY_S) >= RETRY_S:
                await self._ask(group, version)
            known = self._known.get(key, {}).get(kind)
        if known is None:
            raise errors.NoMatch(kind, join_api_version(group, version))
        return known

    async def find_living(self, group: str, version: str, kind: str) -> Resource:
        """The resource for a kind in `version` or, if that is not served (any more), in whichever is.

        Raises:
            NoMatch: no version of the group serves it.
        """
        try:
            return await self.find(group, version, kind)
        except errors.NoMatch:
            return await self.find_preferred(group, kind)

    async def find_preferred(self, group: str, kind: str) -> Resource:
        """The resource for a kind in whichever version is served: an inventory knows no living version.

        Raises:
            NoMatch: no version of the group serves it.
        """
        for (known_group, _), kinds in self._known.items():
            if known_group == group and kind in kinds:
                return kinds[kind]
        versions = ["v1"] if not group else await self._versions(group, kind)
        for version in versions:
            try:
                return await self.find(group, version, kind)
            except errors.NoMatch:
                continue
        raise errors.NoMatch(kind, group or "v1")

    async def _versions(self, group: str, kind: str) -> list[str]:
        try:
            raw = await self._client.request("GET", f"/apis/{group}")
        except errors.ApiError as error:
            if error.status == 404:
                raise errors.NoMatch(kind, group) from error
            raise
        found = msgspec.json.decode(raw, type=_Group)
        first = found.preferred_version.version
        return [first] + [v.version for v in found.versions if v.version != first]

    def forget(self, group: str) -> None:
        """The group's kinds may have changed: ask again at the next look-up."""
        for key in [k for k in self._asked if k[0] == group]:
            del self._asked[key]
            self._known.pop(key, None)

    async def _ask(self, group: str, version: str) -> None:
        key = (group, version)
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        self._asked[key] = time.monotonic()
        try:
            listed = msgspec.json.decode(await self._client.request("GET", path), type=_ResourceList)
        except BaseException as error:
            # An unknown group version is answered with a 404 that is no `Status` NotFound of an object.
            if isinstance(error, errors.ApiError) and error.status == 404:
                self._known.pop(key, None)
                return
            # Nothing was learnt, by whatever cause, a cancelled asker included: the next one asks again.
            self._asked.pop(key, None)
            if isinstance(error, msgspec.DecodeError):
                raise errors.Unreachable(f"GET {path}: the answer is no list of kinds") from error
            raise
        self._known[key] = {
            entry.kind: Resource(group, version, entry.kind, entry.name, entry.namespaced)
            for entry in listed.resources
            if "/" not in entry.name  # subresources
        }
