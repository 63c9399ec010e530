"""Writes of ours that meet a world that has moved on: whatever they are told, no object suffers for
another's sake."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from lab.controlplane import ControlPlane
from shared.api.kinds import GIT_REPOSITORY
from shared.api.meta import Key
from shared.kube import apply, connection, errors
from shared.kube.client import JSON, Client
from shared.kube.discovery import Discovery, Resource
from shared.runtime.cache import Cache, RawObject
from shared.runtime.report import Finding
from shared.runtime.write import Writer

CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
REPOSITORIES = Resource(GIT_REPOSITORY.group, "v1", "GitRepository", "gitrepositories", namespaced=True)
_CONDITION = msgspec.json.encode(
    {
        "type": "Foreign",
        "status": "True",
        "reason": "Said",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
)
SEEN = Finding(fields={"observedIgnore": "seen"})


@pytest.fixture
async def client(cluster: ControlPlane) -> AsyncIterator[Client]:
    client = Client(connection.load(cluster.kubeconfig), user_agent="tests")
    yield client
    await client.close()


@pytest.fixture
def home(cluster: ControlPlane, namespace: str) -> str:
    cluster.create_namespace(namespace)
    return namespace


async def create(client: Client, resource: Resource, namespace: str, body: object) -> RawObject:
    answer = await client.request(
        "POST", resource.path(namespace), body=msgspec.json.encode(body), content_type=JSON
    )
    created: RawObject = msgspec.json.decode(answer)
    return created


async def read(client: Client, resource: Resource, namespace: str, name: str) -> RawObject:
    found: RawObject = msgspec.json.decode(await client.request("GET", resource.path(namespace, name)))
    return found


class Desk:
    """A writer of GitRepositories, its cache, and what it told."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.key = Key("GitRepository", namespace, "app")
        self.cache = Cache("GitRepository")
        self.gone: list[str] = []
        self.writer = Writer(
            client,
            REPOSITORIES,
            self.cache,
            manager="tests",
            took=lambda _old, _new: None,
            gone=lambda _key, uid: self.gone.append(uid),
        )

    async def create(self) -> str:
        """The object, in the cluster and in the cache; its UID."""
        spec = {"interval": "1h", "url": "https://git.example.com/app"}
        body = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": "app", "namespace": self.namespace},
            "spec": spec,
        }
        raw = await create(self.client, REPOSITORIES, self.namespace, body)
        self.cache.put(raw)
        return str(raw["metadata"]["uid"])

    async def delete(self) -> None:
        await self.client.request("DELETE", REPOSITORIES.path(self.namespace, "app"))

    async def status(self) -> RawObject:
        status: RawObject = (await read(self.client, REPOSITORIES, self.namespace, "app"))["status"]
        return status


@pytest.fixture
async def desk(client: Client, home: str) -> Desk:
    return Desk(client, home)


async def test_a_status_lands_on_the_object_that_it_is_about(desk: Desk) -> None:
    uid = await desk.create()
    await desk.writer.status(desk.key, uid, 1, SEEN)
    assert (await desk.status())["observedIgnore"] == "seen"


async def test_a_status_never_lands_on_a_successor(desk: Desk) -> None:
    """Nobody has told the cache yet that another object lives under that name."""
    former = await desk.create()
    held = desk.cache.get(desk.key)
    await desk.delete()
    await desk.create()
    assert held is not None
    desk.cache.drop(desk.key)
    desk.cache.put(held)
    await desk.writer.status(desk.key, former, 1, SEEN)
    assert "observedIgnore" not in await desk.status()


async def test_a_status_made_from_a_former_state(desk: Desk) -> None:
    """Somebody has written in between: what he wrote stays."""
    uid = await desk.create()
    await desk.client.request(
        "PATCH",
        REPOSITORIES.path(desk.namespace, "app") + "/status",
        body=b'{"status": {"conditions": [%s]}}' % _CONDITION,
        content_type="application/merge-patch+json",
    )
    await desk.writer.status(desk.key, uid, 1, SEEN)
    status = await desk.status()
    assert (status["observedIgnore"], status["conditions"][0]["type"]) == ("seen", "Foreign")


async def test_a_status_of_an_object_that_is_gone(desk: Desk) -> None:
    uid = await desk.create()
    await desk.delete()
    await desk.writer.status(desk.key, uid, 1, SEEN)
    assert desk.gone == [uid]


async def test_an_answer_that_the_watch_has_overtaken(desk: Desk) -> None:
    """The object went while the answer was on its way: it must not come back into the cache."""
    uid = await desk.create()

    def overtake(_code: str, method: str) -> None:
        if method == "PATCH":
            desk.cache.drop(desk.key, uid)

    desk.client.on_answer = overtake
    await desk.writer.status(desk.key, uid, 1, SEEN)
    assert desk.cache.get(desk.key) is None


def test_an_older_state_is_taken_only_after_a_restore() -> None:
    cache = Cache("GitRepository")
    old, new = (_at(version) for version in ("7", "9"))
    assert cache.put(new) == (True, None)
    assert cache.put(old) == (False, new)
    assert cache.put(old, went_back=True) == (True, new)
    assert cache.put(_at("8")) == (True, old)


def _at(version: str) -> RawObject:
    return {"metadata": {"name": "app", "namespace": "tenant", "uid": "1", "resourceVersion": version}}


async def _touch(client: Client, namespace: str) -> None:
    await client.request(
        "PATCH",
        CONFIG_MAPS.path(namespace, "settings"),
        body=b'{"data": {"k": "v"}}',
        content_type="application/merge-patch+json",
    )


async def _replace(client: Client, namespace: str) -> None:
    await client.request("DELETE", CONFIG_MAPS.path(namespace, "settings"))
    await create(client, CONFIG_MAPS, namespace, {"metadata": {"name": "settings"}})


MOVES = {"changed since": _touch, "replaced since": _replace}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
async def test_a_delete_of_what_was_looked_at(
    client: Client, home: str, move: Callable[[Client, str], "asyncio.Future[None]"]
) -> None:
    meta = (await create(client, CONFIG_MAPS, home, {"metadata": {"name": "settings"}}))["metadata"]
    await move(client, home)
    with pytest.raises(errors.Conflict):
        await _delete(client, home, meta)
    now = (await read(client, CONFIG_MAPS, home, "settings"))["metadata"]
    assert await _delete(client, home, now)
    assert not await _delete(client, home, now), "gone already"


async def _delete(client: Client, namespace: str, meta: RawObject) -> bool:
    return await apply.delete(
        client,
        CONFIG_MAPS,
        namespace,
        "settings",
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        identity=None,
    )


async def test_who_asks_for_a_kind_after_an_asker_that_was_cancelled(client: Client) -> None:
    discovery = Discovery(client)
    first = asyncio.create_task(discovery.find("apps", "v1", "Deployment"))
    await asyncio.sleep(0)  # it is under way
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert (await discovery.find("apps", "v1", "Deployment")).plural == "deployments"
