"""Labels, annotations and field managers of the contract (annotations.tsv, behaviour-kustomize.md 7)."""

FIELD_MANAGER = "kustomize-controller"
STATUS_MANAGER = "gotk-kustomize-controller"

PREFIX = "kustomize.toolkit.fluxcd.io/"
OWNER_NAME = PREFIX + "name"
OWNER_NAMESPACE = PREFIX + "namespace"
SSA = PREFIX + "ssa"
RECONCILE = PREFIX + "reconcile"
PRUNE = PREFIX + "prune"
FORCE = PREFIX + "force"

# Below `PREFIX`, as a build tells them.
SUBSTITUTE = "substitute"

# Ours: its value is the revision for which a held prune is released.
ALLOW_PRUNE = "headrace.dev/allow-prune"


def owner_labels(name: str, namespace: str) -> dict[str, str]:
    return {OWNER_NAME: name, OWNER_NAMESPACE: namespace}
