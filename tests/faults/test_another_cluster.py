"""F25: the API server's address leads to another cluster. What a running controller knows is of no use
there."""

import msgspec

from lab.controllers import Controller
from tests.faults.faultproxy import FaultProxy
from tests.faults.lane import World
from tests.faults.rules import Reply, Rule
from tests.harness.wait import eventually

OTHER = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "another"}}


def test_the_process_ends_before_it_writes_there(world: World) -> None:
    """Kubernetes starts it again, with checkpoints of that cluster."""
    before = FaultProxy(world.cluster).start()
    flags = ["--watch-label-selector=lane=none", "--cache-path=cache", "--state-path=state"]
    with Controller("kustomize_controller", before.kubeconfig, flags=flags) as controller:
        after = FaultProxy(world.cluster)
        after.port = before.port
        body = msgspec.json.encode(OTHER)
        after.obey(Rule(do=Reply(200, body), verb="get", resource="namespaces", name="kube-system", nth=0))
        before.stop()
        # A watch that breaks and finds the other cluster at once, without one failed request, asks nothing.
        eventually(controller.why_not_ready, 25.0, "the controller knows that its API server is away")
        after.start()
        try:
            assert controller.await_end() == 1
        finally:
            after.stop()
        assert not after.history.changes()
        said = controller.lines()[-1]
        assert said["msg"] == "cannot go on"
        assert "kube-system has UID another" in said["error"]
