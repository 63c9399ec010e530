"""What must hold of every object that we write, whatever happened before: small rules over a whole cluster.

A rule is a function from the cluster's state to sentences, one for each violation. A new rule is one more
function in RULES. Rules over what happened on the way are in `replay`, the search for secrets is in
`outlets`; `check_invariants` runs them all.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.apiclient import ApiClient, ApiRefused
from tests.harness import conduct, replay
from tests.harness.names import OWNER_NAME, OWNER_NAMESPACE, PRUNE
from tests.harness.outlets import Outlets
from tests.harness.rendering import inventory_id
from tests.harness.replay import Past
from tests.harness.trail import Trail

Object = dict[str, Any]

_KUSTOMIZATIONS = ("Kustomization", "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations")
_REPOSITORIES = ("GitRepository", "/apis/source.toolkit.fluxcd.io/v1/gitrepositories")
_STORAGE_S = 10.0
_REST_S = 10.0
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A cluster at rest: our objects, and all live objects that carry our label."""

    ours: tuple[Object, ...]  # GitRepositories and Kustomizations, `kind` filled in
    labelled: tuple[Object, ...]
    store: Path | None  # root of the artifact store, None when it is out of reach
    left: frozenset[str] = field(default=frozenset())  # inventory ids that a test left behind on purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What controllers left behind, for the rules that look at more than the cluster as it is now.

    Attributes:
        trail: of all that they wrote since objects of ours are there: as far as they need no knowledge of
            Git, the rules I2 to I7 are checked over it.
        outlets: searched for planted secrets, together with events and our objects (I9).
    """

    trail: Trail | None = None
    outlets: Outlets | None = None


NO_EVIDENCE = Evidence()


class InvariantsViolated(AssertionError):
    """At least one rule does not hold; the message lists every violation."""


def check_invariants(
    client: ApiClient,
    *,
    store: Path | None = None,
    left: frozenset[str] = frozenset(),
    namespace: str = "",
    kinds: frozenset[str] = frozenset(),
    pasts: Sequence[Past] = (),
    evidence: Evidence = NO_EVIDENCE,
) -> None:
    """Wait until the controllers have seen everything, read it, and check all rules.

    Args:
        store: root of the source controller's store, to check that it holds what statuses name.
        left: inventory ids ("namespace_name_group_kind") that may be in no inventory.
        namespace: look only at objects of this namespace and those that its Kustomizations own; "" for all.
        kinds: look for owned objects of these kinds only, which is quicker; empty for all.
        pasts: Kustomizations whose whole history is known: the rules I1 to I7 are checked over it.
        evidence: of the controllers that are at work.

    Raises:
        InvariantsViolated: lists every violation.
    """
    _await_rest(client, namespace)
    if evidence.trail is not None:
        evidence.trail.mark()
    began_s = time.monotonic()
    state = observe(client, store=store, left=left, namespace=namespace, kinds=kinds)
    violations = [f"{rule.__name__}: {text}" for rule in RULES for text in rule(state)]
    for past in pasts:
        violations += replay.violations(past, state.labelled)
        violations += replay.unrest(past, began_s)
    if evidence.trail is not None:
        violations += _misconduct(conduct.Conduct.of(evidence.trail.read(), namespace, left))
    if evidence.outlets is not None:
        found = evidence.outlets.search(state.ours, _events(client, namespace))
        violations += [f"no_secret_is_told: {finding}" for finding in found]
    if violations:
        raise InvariantsViolated("\n".join(violations))


def _misconduct(what: conduct.Conduct) -> list[str]:
    ever = [State(ours=(item,), labelled=(), store=None) for item in what.statuses()]
    said = [f"{rule.__name__}: {text}" for rule in RULES_EVER for state in ever for text in rule(state)]
    return conduct.violations(what) + sorted(set(said))


def _await_rest(client: ApiClient, namespace: str) -> None:
    """Wait until each object of ours was looked at as it is now; what never is, the rules report.

    A test may end while an object that it made has not had its turn: that is no violation yet.
    """
    deadline = time.monotonic() + _REST_S
    while any(_waits_for_its_turn(item) for item in _ours(client, namespace)):
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _waits_for_its_turn(item: Object) -> bool:
    if item["spec"].get("suspend", False) or "deletionTimestamp" in item["metadata"]:
        return False
    ready = _conditions(item).get("Ready")
    return ready is None or ready.get("observedGeneration") != item["metadata"]["generation"]


def _ours(client: ApiClient, namespace: str) -> list[Object]:
    return [
        {**item, "kind": kind}
        for kind, path in (_REPOSITORIES, _KUSTOMIZATIONS)
        for item in _list(client, path)
        if _within(item, namespace)
    ]


def _events(client: ApiClient, namespace: str) -> list[Object]:
    return _list(client, f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events")


def _within(item: Object, namespace: str) -> bool:
    owner = item["metadata"].get("labels", {}).get(OWNER_NAMESPACE)
    return namespace in ("", item["metadata"].get("namespace", ""), owner)


def observe(
    client: ApiClient,
    *,
    store: Path | None = None,
    left: frozenset[str] = frozenset(),
    namespace: str = "",
    kinds: frozenset[str] = frozenset(),
) -> State:
    """The cluster as it is now; arguments as for `check_invariants`."""

    ours = _ours(client, namespace)
    labelled = [
        {**item, "apiVersion": api_version, "kind": kind}
        for api_version, kind, path in listable(client)
        if not kinds or kind in kinds
        for item in _list(client, path, labelSelector=OWNER_NAME)
        if _within(item, namespace)
    ]
    return State(ours=tuple(ours), labelled=tuple(labelled), store=store, left=left)


def listable(client: ApiClient) -> Iterator[tuple[str, str, str]]:
    """apiVersion, kind, and path of the list over all namespaces, of every kind that can be listed, once."""
    for root in ("/api", "/apis"):
        for group in json.loads(client.text("GET", root, accept=_DISCOVERY))["items"]:
            name = group["metadata"].get("name", "")
            seen: set[str] = set()
            for version in group["versions"]:  # the preferred one first
                api_version = f"{name}/{version['version']}" if name else version["version"]
                for resource in version.get("resources", []):
                    kind = resource["responseKind"]["kind"]
                    if "list" in resource["verbs"] and resource["resource"] not in seen:
                        seen.add(resource["resource"])
                        yield api_version, kind, f"{root}/{api_version}/{resource['resource']}"


def ready_is_present(state: State) -> Iterator[str]:
    for item in state.ours:
        suspended = item["spec"].get("suspend", False)
        if not suspended and "Ready" not in _conditions(item):
            yield f"{_id(item)} has no condition Ready"


def never_reconciling_and_stalled(state: State) -> Iterator[str]:
    for item in state.ours:
        conditions = _conditions(item)
        if {"Reconciling", "Stalled"} <= {name for name, c in conditions.items() if c["status"] == "True"}:
            yield f"{_id(item)} is both Reconciling and Stalled"


def ready_only_at_the_observed_generation(state: State) -> Iterator[str]:
    for item in state.ours:
        ready = _conditions(item).get("Ready")
        if ready is None or ready["status"] != "True":
            continue
        generation = item["metadata"]["generation"]
        observed = item["status"].get("observedGeneration"), ready.get("observedGeneration")
        if item["spec"].get("suspend", False) or "deletionTimestamp" in item["metadata"]:
            continue  # nothing runs, so a changed spec stays unseen; a deletion counts as such a change
        if observed != (generation, generation):
            yield f"{_id(item)} is Ready at generation {generation}, but observed {observed}"


def healthy_is_there_where_it_is_waited_for(state: State) -> Iterator[str]:
    """And nowhere else. A Kustomization that is Ready found healthy what it waits for (I6)."""
    for item in state.ours:
        conditions, spec = _conditions(item), item["spec"]
        if item["kind"] != "Kustomization" or conditions.get("Ready", {}).get("status") != "True":
            continue
        if spec.get("suspend", False) or "deletionTimestamp" in item["metadata"]:
            continue
        healthy = conditions.get("Healthy", {}).get("status")
        wait, checks = spec.get("wait", False), spec.get("healthChecks", [])
        if healthy not in ("True", None):
            yield f"{_id(item)} is Ready, but Healthy is {healthy}"
        if healthy is None and checks and not wait:  # with `wait` there may be nothing to wait for
            yield f"{_id(item)} is Ready, but does not say that it is Healthy"
        if healthy is not None and not wait and not checks:
            yield f"{_id(item)} waits for nothing, but Healthy is {healthy}"


def artifacts_are_in_the_store(state: State) -> Iterator[str]:
    for item in state.ours:
        artifact = item.get("status", {}).get("artifact")
        if artifact is None or state.store is None:
            continue
        path = state.store / artifact["path"]
        if not path.is_file():
            yield f"{_id(item)} names {artifact['path']}, which is not in the store"
            continue
        algorithm, _, digest = artifact["digest"].partition(":")
        content = path.read_bytes()
        if hashlib.new(algorithm, content).hexdigest() != digest:
            yield f"{_id(item)}: {artifact['path']} does not have the digest {artifact['digest']}"
        if artifact.get("size", len(content)) != len(content):
            yield f"{_id(item)}: {artifact['path']} has {len(content)} bytes, not {artifact['size']}"


def every_live_object_is_in_its_inventory(state: State) -> Iterator[str]:
    inventories = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): {
            entry["id"] for entry in item.get("status", {}).get("inventory", {}).get("entries", [])
        }
        for item in state.ours
        if item["kind"] == "Kustomization"
    }
    for item in state.labelled:
        metadata = item["metadata"]
        owner = metadata["labels"].get(OWNER_NAMESPACE, ""), metadata["labels"][OWNER_NAME]
        if _is_derived(item) or "deletionTimestamp" in metadata or inventory_id(item) in state.left:
            continue
        if metadata.get("annotations", {}).get(PRUNE) == "disabled":
            continue
        if inventory_id(item) not in inventories.get(owner, set()):
            yield f"{_id(item)} is labelled as {'/'.join(owner)}'s, but is in no inventory of it"


RULES: tuple[Callable[[State], Iterator[str]], ...] = (
    ready_is_present,
    never_reconciling_and_stalled,
    ready_only_at_the_observed_generation,
    healthy_is_there_where_it_is_waited_for,
    artifacts_are_in_the_store,
    every_live_object_is_in_its_inventory,
)
RULES_EVER: tuple[Callable[[State], Iterator[str]], ...] = (  # of each status, not only of the last
    never_reconciling_and_stalled,
    healthy_is_there_where_it_is_waited_for,
)


def _is_derived(item: Object) -> bool:
    """Made by a controller of the cluster, which copied the labels: Endpoints have no owner to tell by."""
    return bool(item["metadata"].get("ownerReferences")) or item["kind"] == "Endpoints"


def _conditions(item: Object) -> dict[str, Object]:
    return {c["type"]: c for c in item.get("status", {}).get("conditions", [])}


def _id(item: Object) -> str:
    return f"{item['kind']}/{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def _list(client: ApiClient, path: str, **query: str) -> list[Object]:
    deadline = time.monotonic() + _STORAGE_S
    while True:
        try:
            items: list[Object] = client.get(path, **query)["items"]
            return items
        except ApiRefused as refusal:
            if refusal.status in (404, 405):  # a kind that has just gone, or lists only within a namespace
                return []
            if refusal.status != 429 or time.monotonic() > deadline:
                raise
        time.sleep(0.1)  # the storage of a kind that has just come is being initialised
