"""Which refusals may be about a field that cannot be changed, and what a new object is refused for."""

import pytest

from kustomize_controller.kustomization.recreate import holds_more, is_excused, may_help
from shared.kube import errors
from shared.kube.discovery import Resource

HELPS: dict[str, tuple[errors.KubeError, bool]] = {
    "invalid": (errors.Invalid(422, "Invalid", 'Job "x" is invalid: spec: field is immutable'), True),
    "a conflict": (errors.Conflict(409, "Conflict", "the object has been modified"), True),
    "a webhook that says immutable": (errors.Forbidden(403, "Forbidden", "denied: x is immutable"), True),
    "a server that says immutable": (errors.ApiError(400, "BadRequest", "immutable field: spec"), True),
    "a request that cannot be read": (errors.Invalid(400, "BadRequest", "unknown field"), False),
    "a name that cannot be": (errors.Invalid(422, "", "'a/b' is not a valid name"), False),
    "no right": (errors.Forbidden(403, "Forbidden", "cannot patch"), False),
    "no answer": (errors.Unreachable("no answer"), False),
    "no such kind": (errors.NoMatch("Thing", "v1"), False),
}  # fmt: skip


@pytest.mark.parametrize(("error", "helps"), HELPS.values(), ids=HELPS)
def test_may_help(error: errors.KubeError, helps: bool) -> None:
    assert may_help(error) is helps


# --- what the dry run of a new one is told, after a change was refused ---

FIXED = 'spec.selector: Invalid value: {"app":"b"}: field is immutable'
PORT = "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535"
CHANGED = errors.Invalid(422, "Invalid", f'Deployment.apps "web" is invalid: {FIXED}')
WRONG = errors.Invalid(422, "Invalid", f'Deployment.apps "web" is invalid: [{FIXED}, {PORT}]')
MODIFIED = errors.Conflict(409, "Conflict", "the object has been modified")


def invalid(*findings: str) -> errors.Invalid:
    found = findings[0] if len(findings) == 1 else f"[{', '.join(findings)}]"
    return errors.Invalid(422, "Invalid", f'Deployment.apps "web-headrace-dry-run" is invalid: {found}')


HOOK = 'Internal error occurred: failed calling webhook "down.test": connection refused'
POLICY = (
    'deployments.apps "web-headrace-dry-run" is forbidden: ValidatingAdmissionPolicy "p" denied request: no'
)
QUOTA = 'deployments.apps "web-headrace-dry-run" is forbidden: exceeded quota: small, requested: count=1'

EXCUSED: dict[str, tuple[errors.ApiError, errors.ApiError, bool]] = {
    "the long name": (invalid("metadata.name: Invalid value: must be no more than 63 bytes"), CHANGED, True),
    "an address in use": (invalid("spec.clusterIP: Invalid value: already allocated"), CHANGED, True),
    "the old one fills the quota": (errors.Forbidden(403, "Forbidden", QUOTA), CHANGED, True),
    "the same mistake": (invalid(PORT), WRONG, False),
    "the same mistake that quotes the name": (
        invalid('metadata.labels: Invalid value: "web-headrace-dry-run": wrong'),
        invalid(FIXED, 'metadata.labels: Invalid value: "web": wrong'), False,
    ),
    "a mistake, after a conflict": (invalid(PORT), MODIFIED, False),
    "a policy, Forbidden": (errors.Forbidden(403, "Forbidden", POLICY), CHANGED, False),
    "a policy, Invalid": (errors.Invalid(422, "Invalid", POLICY), CHANGED, False),
    "no right to create": (errors.Forbidden(403, "Forbidden", "cannot create"), CHANGED, False),
    "a webhook that is down": (errors.InternalError(500, "InternalError", HOOK), CHANGED, False),
    "a webhook that says 400": (errors.Invalid(400, "BadRequest", "denied the request: no"), CHANGED, False),
    "a conflict": (MODIFIED, CHANGED, False),
    "no such path": (errors.ApiError(404, "NotFound", "not found"), CHANGED, False),
}  # fmt: skip


@pytest.mark.parametrize(("objection", "refusal", "excused"), EXCUSED.values(), ids=EXCUSED)
def test_what_is_no_objection_to_a_new_one(
    objection: errors.ApiError, refusal: errors.ApiError, excused: bool
) -> None:
    assert is_excused(objection, refusal) is excused


HOLDERS: dict[str, tuple[str, str, bool]] = {
    "custom resources": ("apiextensions.k8s.io", "CustomResourceDefinition", True),
    "another server's kinds": ("apiregistration.k8s.io", "APIService", True),
    "all of a namespace": ("", "Namespace", True),
    "data that is claimed": ("", "PersistentVolumeClaim", True),
    "data": ("", "PersistentVolume", True),
    "itself": ("apps", "Deployment", False),
    "a stranger's Namespace": ("example.test", "Namespace", False),
}


@pytest.mark.parametrize(("group", "kind", "holds"), HOLDERS.values(), ids=HOLDERS)
def test_what_more_would_go(group: str, kind: str, holds: bool) -> None:
    resource = Resource(group, "v1", kind, "things", namespaced=False)
    assert holds_more(resource) is holds
