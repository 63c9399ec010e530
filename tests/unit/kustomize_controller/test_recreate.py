"""Which refusals may be about a field that cannot be changed."""

import pytest

from kustomize_controller.kustomization.recreate import may_help
from shared.kube import errors

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
