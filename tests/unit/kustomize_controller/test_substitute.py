"""What a variable may change of an object."""

from dataclasses import replace
from typing import Any

import pytest

from kustomize_controller.kustomization.built import BuildError, BuiltObject
from kustomize_controller.kustomization.substitute import check_same

WEB = BuiltObject(
    group="apps", version="v1", kind="Deployment", namespace="shop", name="web",
    body=b"", digest="", steering={}, origin="", secrets=frozenset({"4711", "x"}),
)  # fmt: skip


def built(**fields: Any) -> BuiltObject:
    return replace(WEB, **fields)


ALLOWED = {
    "nothing": (built(), built()),
    "a name that has a variable": (built(name="web-${env}"), built(name="web-prod")),
    "a namespace that has a variable": (built(namespace="${ns}"), built(namespace="shop")),
    "an escaped dollar": (built(name="a$$b"), built(name="a$b")),
}
REFUSED = {
    "another name": (built(), built(name="api"), "name"),
    "another namespace": (built(name="${n}"), built(name="x", namespace="kube-system"), "namespace"),
    "another kind": (built(), built(kind="StatefulSet"), "kind"),
    "another group": (built(), built(group=""), "group"),
}


@pytest.mark.parametrize(("before", "after"), ALLOWED.values(), ids=ALLOWED)
def test_stays_the_same(before: BuiltObject, after: BuiltObject) -> None:
    check_same(before, after)


@pytest.mark.parametrize(("before", "after", "named"), REFUSED.values(), ids=REFUSED)
def test_becomes_another(before: BuiltObject, after: BuiltObject, named: str) -> None:
    with pytest.raises(BuildError, match=f"changed its {named};") as refused:
        check_same(before, after)
    assert refused.value.message.startswith(f"post build failed for 'Deployment.v1.apps/{before.name}': ")


MASKED = {
    "a value": ("Invalid value: 4711: no", "Invalid value: ***: no"),
    "a value in quotes": ('got "4711"', 'got "***"'),
    "a part of a number": ("port 47110", "port 47110"),
    "a letter": ("x marks x-ray, not next", "*** marks ***-ray, not next"),
}


@pytest.mark.parametrize(("said", "masked"), MASKED.values(), ids=MASKED)
def test_what_an_api_server_says_is_masked(said: str, masked: str) -> None:
    assert built().without_secrets(said) == masked
    assert "4711" not in repr(built())
