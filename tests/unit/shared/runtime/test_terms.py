"""Names and times of a leader election."""

import pytest

from shared.runtime.leader import NoElection, Terms, identity, lease_name


def terms(lease_s: float, renew_deadline_s: float, retry_s: float) -> Terms:
    return Terms("flux-system", "x", "me", lease_s, renew_deadline_s, retry_s)


NAMES = {
    "unsharded": ("source-controller", "", "source-controller-leader-election"),
    "a shard": (
        "kustomize-controller",
        "sharding.fluxcd.io/key=shard1",
        "kustomize-controller-leader-election-73fdc1be",
    ),
}


@pytest.mark.parametrize(("controller", "selector", "name"), NAMES.values(), ids=NAMES)
def test_lease_name(controller: str, selector: str, name: str) -> None:
    assert lease_name(controller, selector) == name


RENEWALS = {
    "Flux's defaults": (terms(35, 30, 5), 10),
    "a slow retry": (terms(90, 60, 20), 20),
    "a short lease": (terms(3, 2, 0.3), 2 / 3),
}


@pytest.mark.parametrize(("agreed", "every_s"), RENEWALS.values(), ids=RENEWALS)
def test_renewals_leave_a_second_chance(agreed: Terms, every_s: float) -> None:
    assert agreed.renew_every_s == pytest.approx(every_s)
    assert agreed.renew_every_s < agreed.renew_deadline_s


CONTRADICTIONS = {
    "deadline as long as the lease": (30, 30, 5),
    "retry longer": (35, 30, 31),
    "no retry": (35, 30, 0),
}


@pytest.mark.parametrize("times", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_times_that_contradict_each_other(times: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="the lease duration must be longer"):
        terms(*times)


def test_a_pod_is_one_holder_and_a_process_outside_one_is_its_own() -> None:
    assert identity({"POD_UID": "u1"}) == identity({"POD_UID": "u1"})
    assert identity({"POD_UID": "u1"}) != identity({"POD_UID": "u2"})
    assert identity({}) != identity({})


async def test_without_election_everyone_works_at_once() -> None:
    election = NoElection()
    await election.acquired()
    assert election.held()
