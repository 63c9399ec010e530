"""What a user may do, as the API server lists it, in a form that people can review.

A right is a line `where group resource name verb`: where is `cluster` or a namespace, the core group is
`core`, `*` is every name. What is not about resources has the group `url`.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from lab.stack import Place

FILE = Path(__file__).parents[1] / "data" / "deploy" / "rights.tsv"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
_ELSEWHERE = "default"  # a namespace in which nobody was given anything


def reviewed(variant: str, controller: str) -> set[str]:
    """The rights that `FILE` gives to a controller in a variant of deploy/."""
    found: set[str] = set()
    for line in FILE.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        variants, of, where, group, resources, name, verbs = line.split("\t")
        if variant in variants.split(",") and of == controller:
            cells = product(resources.split(","), verbs.split(","))
            found |= {f"{where} {group} {resource} {name} {verb}" for resource, verb in cells}
    return found


def beyond(who: Path, anybody: Path, *, own_namespace: str) -> set[str]:
    """What the user of the kubeconfig `who` may do and that of `anybody` may not.

    Raises:
        ValueError: the API server does not tell everything.
    """
    everywhere = _listed(who, _ELSEWHERE) - _listed(anybody, _ELSEWHERE)
    at_home = _listed(who, own_namespace) - _listed(anybody, own_namespace)
    here = at_home - everywhere
    return {f"cluster {right}" for right in everywhere} | {f"{own_namespace} {right}" for right in here}


def _listed(kubeconfig: Path, namespace: str) -> set[str]:
    client = Place(kubeconfig=kubeconfig, git_url="").client()
    status = client.request("POST", _REVIEWS, {"spec": {"namespace": namespace}})["status"]
    if status["incomplete"]:
        raise ValueError(f"the list of rights in {namespace} is incomplete: {status.get('evaluationError')}")
    return set(_lines(status))


def _lines(status: dict[str, list[dict[str, list[str]]]]) -> Iterator[str]:
    for rule in status["resourceRules"]:
        names = rule.get("resourceNames") or ["*"]
        for group, resource, name, verb in product(
            rule["apiGroups"], rule["resources"], names, rule["verbs"]
        ):
            yield f"{group or 'core'} {resource} {name} {verb}"
    for rule in status["nonResourceRules"]:
        for url, verb in product(rule["nonResourceURLs"], rule["verbs"]):
            yield f"url {url} * {verb}"
