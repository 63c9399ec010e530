"""The fault proxy passes everything on unchanged, and does what rules say and nothing else."""

import http.client
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lab.apiclient import ApiClient, ApiRefused
from lab.controlplane import ControlPlane
from tests.faults.faultproxy import FaultProxy
from tests.faults.rules import Cut, Delay, Kill, Reply, Rule
from tests.harness.wait import eventually

EVENTS = 200
BIG = "x" * 200_000  # more than any buffer on the way


@pytest.fixture(scope="module")
def proxy(cluster: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(cluster) as one:
        yield one


@pytest.fixture
def through(proxy: FaultProxy, cluster: ControlPlane) -> ApiClient:
    """A client that goes through the proxy, which has no rules and no history yet."""
    proxy.obey()
    proxy.forget()
    direct = cluster.client
    return ApiClient(port=proxy.port, authority_pem=direct.authority_pem, token=direct.token)


def path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def version_of(item: dict[str, Any]) -> str:
    version: str = item["metadata"]["resourceVersion"]
    return version


def test_answers_pass_unchanged(through: ApiClient, cluster: ControlPlane, namespace: str) -> None:
    cluster.create_namespace(namespace)
    made = through.apply(path(namespace, "a"), config_map("a", big=BIG))
    assert made == cluster.client.get(path(namespace, "a"))
    assert through.get(path(namespace)) == cluster.client.get(path(namespace))
    with pytest.raises(ApiRefused, match="404"):
        through.get(path(namespace, "gone"))
    through.request("DELETE", path(namespace, "a"))
    assert cluster.client.find(path(namespace, "a")) is None


def test_no_watch_event_is_lost(
    through: ApiClient, proxy: FaultProxy, cluster: ControlPlane, namespace: str
) -> None:
    cluster.create_namespace(namespace)
    trust = ssl.create_default_context(cadata=through.authority_pem.decode())
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=30, context=trust)
    query = "?watch=true&timeoutSeconds=60"
    connection.request("GET", path(namespace) + query, headers={"Authorization": f"Bearer {through.token}"})
    answer = connection.getresponse()
    written = []
    for number in range(EVENTS):
        data = {"big": BIG, "n": str(number)} if number % 50 == 0 else {"n": str(number)}
        written.append(version_of(through.apply(path(namespace, "a"), config_map("a", **data))))
    seen = [version_of(json.loads(answer.readline())["object"]) for _ in written]
    connection.close()
    assert seen == written
    ended = [e for e in proxy.history.all() if e.target.verb == "watch"]
    eventually(lambda: ended[0].ended_s, 5, "the proxy lets go of a watch whose client has left")


# id: (rule, whether the client gets an answer, whether the server has the object afterwards)
FAULTS: dict[str, tuple[Rule, bool, bool]] = {
    "cut before": (Rule(do=Cut(), verb="apply"), False, False),
    "cut after": (Rule(do=Cut(), verb="apply", after=True), False, True),
    "late": (Rule(do=Delay(0.2), verb="apply"), True, True),
    "of another verb": (Rule(do=Cut(), verb="delete"), True, True),
    "of another resource": (Rule(do=Cut(), verb="apply", resource="secrets"), True, True),
    "of a resource that is left out": (Rule(do=Cut(), verb="write", leave_out="config*"), True, True),
    "of a name": (Rule(do=Cut(), name="a*"), False, False),
    "of another name": (Rule(do=Cut(), name="b*"), True, True),
    "of the second": (Rule(do=Cut(), verb="apply", nth=2), True, True),
    "of each": (Rule(do=Cut(), verb="apply", nth=0), False, False),
}


@pytest.mark.parametrize(("rule", "answered", "done"), FAULTS.values(), ids=FAULTS)
def test_a_rule_strikes(
    through: ApiClient,
    proxy: FaultProxy,
    cluster: ControlPlane,
    namespace: str,
    *,
    rule: Rule,
    answered: bool,
    done: bool,
) -> None:
    cluster.create_namespace(namespace)
    proxy.obey(rule)
    if answered:
        through.apply(path(namespace, "a"), config_map("a"))
    else:
        with pytest.raises(OSError, match=r"."):
            through.apply(path(namespace, "a"), config_map("a"))
    assert (cluster.client.find(path(namespace, "a")) is not None) == done
    exchange = proxy.history.changes()[0]
    assert (exchange.answered, exchange.done) == (answered, done)
    assert exchange.object() == config_map("a")


def test_a_reply_instead_of_the_servers(
    through: ApiClient, proxy: FaultProxy, cluster: ControlPlane, namespace: str
) -> None:
    cluster.create_namespace(namespace)
    proxy.obey(Rule(do=Reply(409, b'{"kind": "Status"}'), verb="apply"))
    with pytest.raises(ApiRefused, match="409"):
        through.apply(path(namespace, "a"), config_map("a"))
    assert cluster.client.find(path(namespace, "a")) is None
    through.apply(path(namespace, "a"), config_map("a"))  # only the first was meant


def test_a_kill_comes_before_any_answer(
    through: ApiClient, proxy: FaultProxy, cluster: ControlPlane, namespace: str
) -> None:
    cluster.create_namespace(namespace)
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    proxy.obey(Rule(do=Kill(victim.pid), verb="apply", after=True))
    with pytest.raises(OSError, match=r"."):
        through.apply(path(namespace, "a"), config_map("a"))
    assert victim.wait(5) == -signal.SIGKILL
    assert cluster.client.find(path(namespace, "a")) is not None
