"""I9: the search that follows every fault finds a secret in each place where one could slip out."""

import gzip
from collections.abc import Callable, Iterator

import pytest

from lab.controllers import Controller
from tests.faults.lane import Case, Lane
from tests.faults.stories import FIVE, KINDS
from tests.harness.canaries import Canaries
from tests.harness.invariants import Evidence, InvariantsViolated, check_invariants
from tests.harness.outlets import Outlets

Leak = Callable[[Case, str], None]


@pytest.fixture(scope="module")
def applied(lane: Lane) -> Case:
    case = lane.case()
    case.publish(FIVE)
    case.create()
    case.await_converged()
    case.check(KINDS)
    case.leave()
    return case


@pytest.fixture
def planted() -> Canaries:
    """Of the test's own: what is leaked on purpose is nothing to the session's."""
    return Canaries()


def check(case: Case, canaries: Canaries, *more: Controller) -> None:
    outlets = Outlets(canaries, (case.lane.world.sources, case.lane.controller, *more))
    check_invariants(case.client, namespace=case.token, kinds=KINDS, evidence=Evidence(outlets=outlets))


def in_a_status(case: Case, secret: str) -> None:
    case.client.merge(f"{case.path}/status", {"status": {"lastHandledReconcileAt": secret}})


def in_an_annotation(case: Case, secret: str) -> None:
    case.client.merge(case.path, {"metadata": {"annotations": {"note": secret}}})


def in_an_event(case: Case, secret: str) -> None:
    event = {
        "metadata": {"generateName": "leak-"},
        "involvedObject": {"kind": "Kustomization", "name": "app", "namespace": case.token},
        "message": f"password {secret} refused",
    }
    case.client.request("POST", f"/api/v1/namespaces/{case.token}/events", event)


def in_a_log(case: Case, secret: str) -> None:
    with case.lane.controller.log.open("a") as log:
        log.write(f"password {secret} refused\n")


def in_an_archive(case: Case, secret: str) -> None:
    path = case.lane.world.sources.storage / f"{case.token}.tar.gz"
    path.write_bytes(gzip.compress(f"password: {secret}".encode()))


# id: (the leak, words of what is found)
LEAKS: dict[str, tuple[Leak, str]] = {
    "in a status": (in_a_status, "appears in Kustomization/case-"),
    "in an annotation": (in_an_annotation, "appears in Kustomization/case-"),
    "in an event": (in_an_event, "appears in events"),
    "in a log": (in_a_log, "appears in log of kustomize_controller"),
    "in an archive": (in_an_archive, r"appears in case-\w+\.tar\.gz of source_controller"),
}


@pytest.mark.parametrize(("leak", "words"), LEAKS.values(), ids=LEAKS)
def test_a_leak_is_found(leak: Leak, words: str, applied: Case, planted: Canaries) -> None:
    secret = planted.plant("password")
    check(applied, planted)
    leak(applied, secret)
    with pytest.raises(InvariantsViolated, match=f"no_secret_is_told: the secret 'password #1' {words}"):
        check(applied, planted)


@pytest.fixture
def talkative(lane: Lane, planted: Canaries) -> Iterator[Controller]:
    """A controller that was given a secret by its environment, which whoever shares its node can read."""
    controller = Controller(
        "kustomize_controller",
        lane.world.cluster.kubeconfig,
        flags=["--watch-label-selector=lane=nobody"],
        environment={"PASSWORD": planted.plant("password")},
    )
    with controller:
        yield controller


def test_a_leak_by_the_environment_is_found(talkative: Controller, applied: Case, planted: Canaries) -> None:
    with pytest.raises(InvariantsViolated, match="appears in environ of a process of kustomize_controller"):
        check(applied, planted, talkative)


def test_a_log_is_read_once(applied: Case, planted: Canaries) -> None:
    """What was searched is not searched again; what came since is, and what lies across the seam."""
    secret = planted.plant("password")
    outlets = Outlets(planted, (applied.lane.controller,))
    in_a_log(applied, secret[:20])
    with applied.lane.controller.log.open("a") as log:
        log.truncate(log.tell() - len(" refused\n"))
    assert outlets.search((), ()) == []
    with applied.lane.controller.log.open("a") as log:
        log.write(secret[20:] + "\n" + "x" * 2000 + "\n")
    assert [finding.place for finding in outlets.search((), ())] == ["log of kustomize_controller"]
    assert outlets.search((), ()) == []
