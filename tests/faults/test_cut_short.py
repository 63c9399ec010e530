"""A run that the API server cuts short says how far it came (behaviour-kustomize.md 1, 11 and 12)."""

from tests.faults.lane import Case, Lane, Object
from tests.faults.rules import Reply, Rule
from tests.faults.test_deleted_while_applying import FIVE
from tests.harness.story import REVISION
from tests.harness.wait import eventually


def test_an_apply_that_meets_a_broken_server_was_attempted(lane: Lane) -> None:
    case = lane.case()
    revision = case.publish(FIVE)
    case.await_artifact()
    lane.proxy.obey(Rule(do=Reply(500), verb="apply", nth=0))
    case.create()
    eventually(lambda: case.ready().get("status") == "False", 20, "the failure is told")
    item = case.read()
    assert case.ready()["reason"] == "ReconciliationFailed"
    assert item["status"]["lastAttemptedRevision"] == revision
    assert "lastAppliedRevision" not in item["status"]
    (entry,) = item["status"]["history"]
    assert (entry["lastReconciledStatus"], entry["metadata"]) == (
        "ReconciliationFailed",
        {"revision": revision},
    )
    warning = eventually(lambda: warnings(case), 10, "an event tells of it")[0]
    assert warning["reason"] == "ReconciliationFailed"
    assert warning["metadata"]["annotations"][REVISION] == revision
    lane.proxy.obey()
    case.await_converged()
    assert case.read()["status"]["history"][0]["lastReconciledStatus"] == "ReconciliationSucceeded"
    case.leave()


def warnings(case: Case) -> list[Object]:
    events = case.client.get(f"/api/v1/namespaces/{case.token}/events")["items"]
    return [event for event in events if event["type"] == "Warning"]
