"""The stories S1 to S4 of the crash sweep: what Git says before, and what then happens.

Seven objects: a Namespace, a CustomResourceDefinition and an object of its kind, a ServiceAccount, a
ConfigMap, a Service and a Deployment. TOKEN is replaced by a word of the case's own; `${word}` is
from a Secret.
"""

from dataclasses import dataclass

from tests.faults.lane import Case, Files

KINDS = frozenset(
    {
        "Namespace",
        "CustomResourceDefinition",
        "Widget",
        "ServiceAccount",
        "ConfigMap",
        "Service",
        "Deployment",
    }
)

_NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: TOKEN-app}
"""
_DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.TOKEN.example.com}
spec:
  group: TOKEN.example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {size: {type: integer}}}
"""
_WIDGET = """
apiVersion: TOKEN.example.com/v1
kind: Widget
metadata: {name: first, namespace: TOKEN-app}
spec: {size: 3}
"""
_ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: TOKEN-app}
"""
_SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: TOKEN-app}
data: {colour: blue, word: '${word}'}
"""
_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: TOKEN-app}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""
_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: TOKEN-app}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: registry.example.com/web:1}]
"""
_EXTRA = """
apiVersion: v1
kind: ConfigMap
metadata: {name: extra, namespace: TOKEN-app}
data: {added: later}
"""


def listing(*names: str) -> str:
    """A kustomization.yaml with these resources."""
    return "resources: [" + ", ".join(names) + "]\n"


_SEVEN = ("namespace", "definition", "widget", "account", "settings", "service", "deployment")
SEVEN: Files = {
    "kustomization.yaml": listing(*(f"{name}.yaml" for name in _SEVEN)),
    "namespace.yaml": _NAMESPACE,
    "definition.yaml": _DEFINITION,
    "widget.yaml": _WIDGET,
    "account.yaml": _ACCOUNT,
    "settings.yaml": _SETTINGS,
    "service.yaml": _SERVICE,
    "deployment.yaml": _DEPLOYMENT,
}
# A definition makes the API server work on its schemas for a tenth of a second; an update needs none.
FIVE: Files = {
    name: text for name, text in SEVEN.items() if name not in ("definition.yaml", "widget.yaml")
} | {
    "kustomization.yaml": listing(
        *(f"{name}.yaml" for name in _SEVEN if name not in ("definition", "widget"))
    ),
}
_UPDATE: Files = {
    "kustomization.yaml": listing(
        "namespace.yaml", "account.yaml", "settings.yaml", "service.yaml", "deployment.yaml", "extra.yaml"
    ),
    "settings.yaml": _SETTINGS.replace("blue", "green"),
    "deployment.yaml": _DEPLOYMENT.replace("replicas: 2", "replicas: 3"),
    "extra.yaml": _EXTRA,
}
_LESS: Files = {
    "kustomization.yaml": listing("namespace.yaml", "account.yaml", "settings.yaml", "service.yaml"),
    "definition.yaml": None,
    "widget.yaml": None,
    "deployment.yaml": None,
}


@dataclass(frozen=True, slots=True)
class Story:
    """`before` is applied in peace; then comes `change`, or the Kustomization's deletion.

    Attributes:
        writes: how many it takes at least, events left out.
    """

    name: str
    writes: int
    before: Files
    change: Files | None = None
    deletes: bool = False

    def prepare(self, case: Case) -> None:
        """Up to the moment from which faults strike."""
        case.publish(self.before)
        if self.change is None and not self.deletes:
            case.await_artifact()
            return
        case.create()
        case.await_converged()
        case.snapshot(KINDS)

    def happen(self, case: Case) -> None:
        if self.deletes:
            case.delete()
        elif self.change is None:
            case.create()
        else:
            case.publish(self.change)


FIRST_APPLY = Story("S1 first apply of seven objects", 10, SEVEN)
UPDATE = Story("S2 an update that changes two objects and adds one", 5, FIVE, _UPDATE)
PRUNE = Story("S3 a prune of three objects, a definition among them", 4, SEVEN, _LESS)
DELETION = Story("S4 deletion of the Kustomization", 8, SEVEN, deletes=True)
