"""What a spec may not ask for: refused at once, before anything is fetched, and until the spec changes.

References that cross a namespace where that is forbidden (AccessDenied), fields that cannot be ignored, and
fields that this release does not act upon. To pass over one of those would apply something else than the spec
says, so nothing is applied.
"""

from collections.abc import Callable

from kustomize_controller.kustomization.ignored import pointers_error
from kustomize_controller.settings import Settings
from shared.api.kustomization import Kustomization, KustomizationSpec
from shared.runtime.outcome import Stalled

_NOT_YET: dict[str, Callable[[KustomizationSpec], bool]] = {
    "spec.decryption": lambda spec: spec.decryption is not None,
    "spec.kubeConfig": lambda spec: spec.kube_config is not None,
    "spec.sourceRef.kind": lambda spec: spec.source_ref.kind != "GitRepository",
}


def refuse(obj: Kustomization, settings: Settings) -> None:
    """Raise what the spec earns.

    Raises:
        Stalled: names the field, and what to do.
    """
    for target in (obj.source, *obj.dependencies):
        if settings.no_cross_namespace_refs and target.namespace != obj.metadata.namespace:
            raise Stalled(
                "AccessDenied",
                f"can't access '{target}', cross-namespace references have been blocked",
            )
    if why := pointers_error([pointer for rule in obj.spec.ignore for pointer in rule.paths]):
        raise Stalled("ValidationFailed", f"spec.ignore[].paths: {why}")
    for field, asks in _NOT_YET.items():
        if asks(obj.spec):
            raise Stalled(
                "FeatureGateDisabled",
                f"{field} is not supported by this release of Headrace, so nothing was applied; remove it",
            )
