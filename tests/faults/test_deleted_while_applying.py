"""F30: a Kustomization is deleted in the middle of its first apply, and made again under the same name."""

import pytest

from tests.faults.lane import Case, Files, Lane
from tests.faults.rules import Delay, Rule
from tests.faults.stories import listing
from tests.harness.invariants import observe
from tests.harness.rendering import inventory_id
from tests.harness.wait import eventually

KINDS = frozenset({"ConfigMap"})
NAMES = ("a", "b", "c", "d", "e")
FIVE: Files = {
    "kustomization.yaml": listing(*(f"{name}.yaml" for name in NAMES)),
    **{
        f"{name}.yaml": f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: TOKEN}}}}\n"
        for name in NAMES
    },
}
HELD_S = 1.5  # an apply under way for so long that the deletion comes in its middle


@pytest.mark.parametrize("after", [False, True], ids=["before it is done", "after it is done"])
@pytest.mark.parametrize("nth", [1, 3, 5])
def test_deleted_and_made_again(nth: int, after: bool, lane: Lane) -> None:
    case = lane.case()
    case.publish(FIVE)
    case.await_artifact()
    lane.proxy.obey(Rule(do=Delay(HELD_S), verb="apply", nth=nth, after=after))
    case.create()
    eventually(lambda: any(e.fault for e in lane.proxy.history.all()), 10, f"apply {nth} is held")
    first = uid_of(case)
    case.delete()
    case.await_converged()  # that is: gone
    assert live(case) == set(), "objects of a deleted Kustomization are left"
    case.check(KINDS)
    lane.proxy.forget()
    case.deleted_s = None
    case.create()
    case.await_converged()
    assert uid_of(case) != first
    assert live(case) == set(case.revisions[-1].objects or ())
    written = [e for e in lane.proxy.history.changes() if e.target.subresource == "status" and e.done]
    assert {e.answer["metadata"]["uid"] for e in written} == {uid_of(case)}
    case.check(KINDS)
    case.leave()


def uid_of(case: Case) -> str:
    uid: str = case.read()["metadata"]["uid"]
    return uid


def live(case: Case) -> set[str]:
    """Inventory ids of owned objects."""
    return {inventory_id(item) for item in observe(case.client, namespace=case.token, kinds=KINDS).labelled}
