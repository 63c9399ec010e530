"""Events as they arrive: at a real API server, and at a receiver that behaves well, badly, or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from lab.controlplane import ControlPlane
from shared.kube import connection
from shared.kube.client import Client
from shared.runtime import metrics
from shared.runtime.events import QUEUE_LENGTH, Involved, Recorder
from shared.runtime.flags import Address
from shared.runtime.health import Server
from shared.runtime.outcome import Event
from shared.runtime.redact import register
from tests.harness.wait import eventually, eventually_async

CANARY = "canary-events-51d0"
REVISION = "kustomize.toolkit.fluxcd.io/revision"
DONE = Event("Normal", "ReconciliationSucceeded", "Reconciliation finished", {REVISION: "main@sha1:1"})
FAILED = Event("Warning", "BuildFailed", f"cannot fetch https://u:{CANARY}@h/x?k=1 with {CANARY}")
TRACE = Event("Trace", "ArtifactUpToDate", "nothing new")


def about(namespace: str) -> Involved:
    return Involved(
        kind="Kustomization",
        api_version="kustomize.toolkit.fluxcd.io/v1",
        namespace=namespace,
        name="web",
        uid=f"uid-in-{namespace}",
        resource_version="7",
        annotations={"event.toolkit.fluxcd.io/commit": "c1", "other": "x"},
    )


def events_of(cluster: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = cluster.client.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    return sorted(items, key=lambda item: item["metadata"]["name"])


def dropped(sink: str, why: str) -> float:
    return metrics.REGISTRY.get_sample_value("headrace_events_dropped_total", {"sink": sink, "why": why}) or 0


@pytest.fixture
async def post(cluster: ControlPlane) -> AsyncIterator[Callable[[str, bytes], Awaitable[bytes]]]:
    client = Client(connection.load(cluster.kubeconfig), user_agent="test")

    async def send(path: str, body: bytes) -> bytes:
        return await client.request("POST", path, body=body, content_type="application/json")

    yield send
    await client.close()


@dataclass
class Receiver:
    """Stands where the notification controller would, on a loopback port. `answers` are used up, then 202."""

    answers: list[int] = field(default_factory=list)
    hangs: bool = False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        if self.hangs:
            await asyncio.Event().wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 202)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made, app = Receiver(), web.Application()
    app.add_routes([web.post("/", made.handle)])
    server = await Server.start(app, Address("127.0.0.1", 0))
    made.url = f"http://127.0.0.1:{server.port}/"
    yield made
    await server.stop()


@pytest.fixture
def place(cluster: ControlPlane, namespace: str) -> str:
    cluster.create_namespace(namespace)
    return namespace


async def test_what_a_kubernetes_event_has(cluster: ControlPlane, place: str, post: Any) -> None:
    register(CANARY)
    recorder = Recorder("kustomize-controller", post)
    await recorder.start()
    for event in (DONE, FAILED, TRACE):
        recorder.tell(about(place), event)
    await recorder.stop()
    done, failed, trace = events_of(cluster, place)
    assert done["involvedObject"] == {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "namespace": place,
        "name": "web",
        "uid": f"uid-in-{place}",
        "resourceVersion": "7",
    }
    assert done["metadata"]["annotations"] == {
        "event.toolkit.fluxcd.io/commit": "c1",
        REVISION: "main@sha1:1",
    }
    assert (done["type"], done["reason"], done["message"]) == ("Normal", DONE.reason, DONE.message)
    assert done["source"] == {"component": "kustomize-controller"}
    assert done["reportingComponent"] == "kustomize-controller"
    assert done["count"] == 1
    assert done["firstTimestamp"] == done["lastTimestamp"]
    assert (failed["type"], failed["message"]) == ("Warning", "cannot fetch https://h/x with ***")
    assert (trace["type"], trace["reason"]) == ("Normal", TRACE.reason)
    shown = cluster.kubectl("events", "-n", place, "--for", "Kustomization/web")
    assert "Reconciliation finished" in shown


async def test_a_revision_is_told_as_it_is(cluster: ControlPlane, place: str, post: Any) -> None:
    """Whatever word of it is a secret's value too: commit statuses need it."""
    register("main@sha1", place)
    recorder = Recorder("kustomize-controller", post)
    await recorder.start()
    recorder.tell(about(place), replace(DONE, metadata={REVISION: "main@sha1:1", "of": "main@sha1:1"}))
    await recorder.stop()
    (event,) = events_of(cluster, place)
    told = event["metadata"]["annotations"]
    assert (told[REVISION], told["of"]) == ("main@sha1:1", "***:1")


async def test_an_object_as_the_api_server_sends_it(cluster: ControlPlane, place: str, post: Any) -> None:
    raw = cluster.client.request(
        "POST",
        f"/api/v1/namespaces/{place}/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}},
    )
    recorder = Recorder("source-controller", post)
    recorder.record(raw, DONE)  # before the start: kept
    await recorder.start()
    await recorder.stop()
    (event,) = events_of(cluster, place)
    assert event["involvedObject"]["uid"] == raw["metadata"]["uid"]


async def test_a_failure_that_repeats_costs_one_request(cluster: ControlPlane, place: str, post: Any) -> None:
    recorder = Recorder("kustomize-controller", post)
    await recorder.start()
    for _ in range(50):
        recorder.tell(about(place), FAILED)
    recorder.tell(about(place), DONE)
    recorder.tell(about(place), FAILED)
    await recorder.stop()
    assert [event["reason"] for event in events_of(cluster, place)] == [
        "BuildFailed",
        DONE.reason,
        "BuildFailed",
    ]


async def test_an_event_that_the_api_server_refuses_holds_up_nothing(
    cluster: ControlPlane, place: str, post: Any
) -> None:
    before = dropped("kubernetes", "not delivered")
    recorder = Recorder("kustomize-controller", post)
    await recorder.start()
    recorder.tell(about("no-such-namespace"), DONE)
    recorder.tell(about(place), DONE)
    await recorder.stop()
    assert len(events_of(cluster, place)) == 1
    assert dropped("kubernetes", "not delivered") == before + 1


async def test_what_the_notification_controller_is_told(place: str, post: Any, receiver: Receiver) -> None:
    register(CANARY)
    recorder = Recorder("kustomize-controller", post, receiver.url)
    await recorder.start()
    for event in (DONE, TRACE, FAILED):
        recorder.tell(about(place), event)
    await recorder.stop()
    done, failed = receiver.bodies  # never a Trace
    assert done.pop("timestamp").endswith("Z")
    assert done.pop("reportingInstance")
    assert done == {
        "involvedObject": about(place).reference(),
        "severity": "info",
        "message": DONE.message,
        "reason": DONE.reason,
        "metadata": {"event.toolkit.fluxcd.io/commit": "c1", REVISION: "main@sha1:1"},
        "reportingController": "kustomize-controller",
    }
    assert failed["severity"] == "error"
    assert CANARY not in json.dumps(receiver.bodies)


ANSWERS = {
    "it takes it": ([], 1, 0),
    "it knows it already": ([429], 1, 0),
    "it fails twice": ([500, 503], 3, 0),
    "it does not want it": ([400], 1, 1),
    "it fails for good": ([500] * 9, 4, 1),
}


@pytest.mark.parametrize(("answers", "requests", "drops"), ANSWERS.values(), ids=ANSWERS)
async def test_answers_of_the_receiver(
    answers: list[int], requests: int, drops: int, post: Any, receiver: Receiver
) -> None:
    receiver.answers = list(answers)
    before = dropped("notification", "not delivered")
    recorder = Recorder("kustomize-controller", post, receiver.url)
    await recorder.start()
    recorder.tell(about("default"), DONE)
    await recorder.stop(deadline_s=20)
    assert len(receiver.bodies) == requests
    assert dropped("notification", "not delivered") == before + drops


async def test_a_receiver_that_hangs_holds_up_neither_kubernetes_nor_the_stop(
    cluster: ControlPlane, place: str, post: Any, receiver: Receiver
) -> None:
    receiver.hangs = True
    full, stopped = dropped("notification", "queue full"), dropped("notification", "stopped")
    recorder = Recorder("kustomize-controller", post, receiver.url)
    await recorder.start()
    recorder.tell(about(place), DONE)
    await eventually_async(lambda: _truth(receiver.bodies), 5, "the receiver hangs")
    for number in range(QUEUE_LENGTH + 1):  # one more than the queue holds
        recorder.tell(about(place), Event("Normal", "Many", f"number {number}"))
        if number % 100 == 0:
            await asyncio.sleep(0)
    assert dropped("notification", "queue full") == full + 1
    async with asyncio.timeout(5):
        await recorder.stop(deadline_s=1)
    assert dropped("notification", "stopped") == stopped + QUEUE_LENGTH + 1
    eventually(lambda: events_of(cluster, place), 1, "Kubernetes has events")


async def _truth(value: object) -> bool:
    return bool(value)
