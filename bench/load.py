"""The load as data: what lies in Git, and which Kustomizations apply it. Nothing is sent from here.

Each application is one folder and one Kustomization with 7 objects: 5 ConfigMaps, a Deployment, a Service.
Its first ConfigMap is the *marker*: it carries a label by which a watch selects it, and the value that a
commit or a person changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

OBJECTS = 7  # of each application
HOME = "bench"  # the namespace of the GitRepository and the Kustomizations
REPOSITORY = "load"
MARKER_LABEL = "bench-marker"
MARKER_KEY = "touched"
INTERVAL = "1m"

_CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}-settings-{number}
  namespace: {namespace}
data:
  log-level: info
  endpoint: http://{name}.{namespace}.svc:8080
  limits.yaml: |
    requests_per_second: {number}00
    burst: {number}50
"""
_MARKER = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    {label}: "yes"
data:
  {key}: "{value}"
"""
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
spec:
  replicas: 2
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
        - name: app
          image: registry.example.com/app:1.4.2
          ports:
            - name: http
              containerPort: 8080
          envFrom:
            - configMapRef:
                name: {name}-settings-1
          resources:
            requests:
              cpu: 50m
              memory: 64Mi
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}
spec:
  selector:
    app: {name}
  ports:
    - name: http
      port: 80
      targetPort: http
"""
_KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - marker.yaml
  - settings.yaml
  - deployment.yaml
  - service.yaml
"""


@dataclass(frozen=True, slots=True)
class Application:
    """One Kustomization and its objects; itself, folder, marker, Deployment and Service share a name."""

    name: str
    namespace: str

    @property
    def marker(self) -> str:
        """The marker's path in the API."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}"

    def files(self) -> dict[str, str]:
        """The folder's files except for the marker, which `touched` gives."""
        names = {"name": self.name, "namespace": self.namespace}
        settings = "---\n".join(_CONFIG_MAP.format(number=number, **names) for number in range(1, 5))
        return {
            f"{self.name}/kustomization.yaml": _KUSTOMIZATION,
            f"{self.name}/settings.yaml": settings,
            f"{self.name}/deployment.yaml": _DEPLOYMENT.format(**names),
            f"{self.name}/service.yaml": _SERVICE.format(**names),
        }

    def touched(self, value: str) -> dict[str, str]:
        """The marker's file with this value."""
        text = _MARKER.format(
            name=self.name, namespace=self.namespace, label=MARKER_LABEL, key=MARKER_KEY, value=value
        )
        return {f"{self.name}/marker.yaml": text}

    def kustomization(self) -> dict[str, Any]:
        return {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": self.name, "namespace": HOME},
            "spec": {
                "interval": INTERVAL,
                "path": f"./{self.name}",
                "prune": True,
                "sourceRef": {"kind": "GitRepository", "name": REPOSITORY},
            },
        }


@dataclass(frozen=True, slots=True)
class Load:
    applications: tuple[Application, ...]

    @classmethod
    def of(cls, count: int, namespaces: int) -> "Load":
        """`count` applications, their objects spread evenly over this many namespaces."""
        return cls(
            tuple(
                Application(f"app-{number:04d}", f"bench-{number % namespaces:02d}")
                for number in range(count)
            )
        )

    @property
    def namespaces(self) -> list[str]:
        """All that must exist before the load, with that of the Kustomizations."""
        return [HOME, *sorted({application.namespace for application in self.applications})]

    @property
    def objects(self) -> int:
        return OBJECTS * len(self.applications)

    def spread(self, count: int) -> list[Application]:
        """`count` different applications (or all) from the first to the last in the order of names."""
        last = len(self.applications) - 1
        steps = max(count - 1, 1)
        return [self.applications[place] for place in sorted({last * step // steps for step in range(count)})]

    def files(self, value: str) -> dict[str, str]:
        """The whole repository."""
        return merged(application.files() | application.touched(value) for application in self.applications)

    def touched(self, value: str) -> dict[str, str]:
        """The files of a commit that changes one object of every application."""
        return merged(application.touched(value) for application in self.applications)


def git_repository(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": REPOSITORY, "namespace": HOME},
        "spec": {"interval": INTERVAL, "url": url, "ref": {"branch": "main"}},
    }


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    whole: dict[str, str] = {}
    for part in parts:
        whole.update(part)
    return whole
