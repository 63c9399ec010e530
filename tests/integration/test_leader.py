"""Leader election against a real API server: who may work, when it changes hands, and who must stop."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lab.controlplane import ControlPlane
from shared.kube import connection
from shared.kube.connection import Connection
from shared.runtime.leader import LeaseElection, Terms
from tests.harness.wait import eventually

# Ten times faster than in life, with the same order of sizes.
TERMS = Terms(
    namespace="", name="x-leader-election", identity="a", lease_s=3, renew_deadline_s=2, retry_s=0.3
)
PATH = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/x-leader-election"


@dataclass
class Election:
    """Elections of one test over one Lease; all are ended with it."""

    cluster: ControlPlane
    terms: Terms
    running: list[LeaseElection] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def join(self, identity: str, **changes: Any) -> LeaseElection:
        now_s = changes.pop("now_s", time.monotonic)
        reached = changes.pop("reached", None) or connection.load(self.cluster.kubeconfig)
        terms = replace(self.terms, identity=identity, **changes)
        self.running.append(LeaseElection(reached, terms, self.lost.append, now_s).start())
        return self.running[-1]

    def leader(self, identity: str, **changes: Any) -> LeaseElection:
        joined = self.join(identity, **changes)
        eventually(joined.held, 5, f"'{identity}' holds the Lease")
        return joined

    def path(self) -> str:
        return PATH.format(self.terms.namespace)

    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.cluster.client.get(self.path())["spec"]
        return spec

    def renewed_after(self, then: str) -> str:
        """The time of the next renewal after `then`."""

        def newer() -> str:
            found: str = self.spec()["renewTime"]
            return found if found > then else ""

        return eventually(newer, 5, f"the Lease is renewed after {then}")

    def write(self, patch: dict[str, Any]) -> None:
        self.cluster.client.merge(self.path(), patch)


@pytest.fixture
def election(cluster: ControlPlane, namespace: str) -> Iterator[Election]:
    cluster.create_namespace(namespace)
    made = Election(cluster, replace(TERMS, namespace=namespace))
    yield made
    for one in made.running:
        one.stop()


def test_the_first_holds_it_as_the_contract_says(election: Election) -> None:
    election.leader("a")
    spec = election.spec()
    assert spec["holderIdentity"] == "a"
    assert spec["leaseDurationSeconds"] == 3
    assert spec["leaseTransitions"] == 0
    first = spec["renewTime"]
    assert first == spec["acquireTime"]
    election.renewed_after(first)
    assert election.spec()["acquireTime"] == first


def test_of_two_that_start_together_one_works(election: Election) -> None:
    both = [election.join("a"), election.join("b")]
    eventually(lambda: any(one.held() for one in both), 5, "one of two holds the Lease")
    for _ in range(20):
        assert sum(one.held() for one in both) == 1
        threading.Event().wait(0.1)
    assert election.lost == []


def test_a_graceful_stop_hands_over_at_once(election: Election) -> None:
    first = election.leader("a")
    second = election.join("b")
    election.renewed_after(election.spec()["renewTime"])  # the second waits, and has seen it
    assert not second.held()
    first.stop()
    assert not first.held()
    eventually(second.held, 1.5, "the second holds what the first gave back")
    assert election.spec()["leaseTransitions"] == 1
    assert election.lost == []


def test_after_a_crash_the_lease_expires_first(election: Election) -> None:
    crashed = election.leader("a", release=False)
    crashed.stop()
    began = time.monotonic()
    second = election.leader("b")
    assert 2.5 < time.monotonic() - began < 5
    assert second.held()
    assert election.spec()["leaseTransitions"] == 1


def test_a_container_that_restarts_in_its_pod_goes_on_at_once(election: Election) -> None:
    election.leader("pod_uid", release=False).stop()
    began = time.monotonic()
    election.leader("pod_uid")
    assert time.monotonic() - began < 1
    assert election.spec()["leaseTransitions"] == 0


def test_a_stolen_lease_ends_the_work(election: Election) -> None:
    first = election.leader("a")
    election.write({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}})
    eventually(lambda: election.lost, 3, "the loss is told")
    assert election.lost == ["the Lease is held by 'thief' now"]
    assert not first.held()
    assert election.spec()["holderIdentity"] == "thief"


def _annotate(election: Election) -> None:
    election.write({"metadata": {"annotations": {"note": "theirs"}}})


def _delete(election: Election) -> None:
    election.cluster.client.request("DELETE", election.path())


HARMLESS: dict[str, tuple[Callable[[Election], None], dict[str, str]]] = {
    "someone annotates it": (_annotate, {"note": "theirs"}),
    "someone deletes it": (_delete, {}),
}


@pytest.mark.parametrize(("change", "annotations"), HARMLESS.values(), ids=HARMLESS)
def test_what_others_may_do_to_it(
    change: Callable[[Election], None], annotations: dict[str, str], election: Election
) -> None:
    first = election.leader("a")
    before = election.spec()["renewTime"]
    change(election)
    for _ in range(2):  # the first renewal after the change, and one more
        before = election.renewed_after(before)
        assert first.held()
    assert election.lost == []
    assert election.cluster.client.get(election.path())["metadata"].get("annotations", {}) == annotations


@pytest.fixture
def refusable(election: Election) -> tuple[Connection, threading.Event]:
    """A connection whose credentials are not accepted while the event is set."""
    good, refused = connection.load(election.cluster.kubeconfig), threading.Event()
    return replace(
        good, authorization=lambda: "Bearer no" if refused.is_set() else good.authorization()
    ), refused


def test_a_refusing_api_server_ends_the_work_before_the_lease_ends(
    election: Election, refusable: tuple[Connection, threading.Event]
) -> None:
    reached, refused = refusable
    held = election.leader("a", reached=reached)
    began = time.monotonic()
    refused.set()
    eventually(lambda: election.lost, 4, "the loss is told")
    assert time.monotonic() - began < TERMS.lease_s
    assert election.lost == ["not renewed within 2 s"]
    assert not held.held()


def test_a_short_absence_of_the_api_server_is_survived(
    election: Election, refusable: tuple[Connection, threading.Event]
) -> None:
    reached, refused = refusable
    held = election.leader("a", reached=reached)
    refused.set()
    threading.Event().wait(1)  # longer than a renewal, shorter than the deadline
    refused.clear()
    election.renewed_after(election.spec()["renewTime"])
    assert held.held()
    assert election.lost == []


def test_who_slept_through_the_deadline_stops_before_it_asks_anyone(election: Election) -> None:
    slept = [0.0]
    held = election.leader("a", now_s=lambda: time.monotonic() + slept[0])
    slept[0] = 40.0  # as after SIGSTOP and SIGCONT, or a machine that was suspended
    assert not held.held()
    eventually(lambda: election.lost, 3, "the loss is told")
    assert election.lost == ["not renewed within 2 s"]


async def test_acquired_returns_when_the_work_may_begin(election: Election) -> None:
    first = election.leader("a")
    await first.acquired()
    second = election.join("b")
    first.stop()
    await second.acquired()
    assert second.held()
