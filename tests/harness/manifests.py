"""Kubernetes objects for tests, as small as the API server takes them, without a namespace unless given."""

import json
from typing import Any

Manifest = dict[str, Any]


def to_yaml(*manifests: Manifest) -> str:
    """One YAML text with all of them; JSON is YAML."""
    return "\n---\n".join(json.dumps(manifest, indent=1) for manifest in manifests) + "\n"


def config_map(name: str, namespace: str = "", /, *, annotations: dict[str, str] | None = None,
               **data: str) -> Manifest:  # fmt: skip
    return _object("v1", "ConfigMap", name, namespace, {"data": data}, annotations=annotations)


def secret(name: str, namespace: str = "", /, **data: str) -> Manifest:
    return _object("v1", "Secret", name, namespace, {"stringData": data})


def service_account(name: str, namespace: str = "") -> Manifest:
    return _object("v1", "ServiceAccount", name, namespace, {})


def namespace_object(name: str) -> Manifest:
    return _object("v1", "Namespace", name, "", {})


def deployment(
    name: str, namespace: str = "", *, replicas: int = 2, image: str = "nginx:1", app: str = ""
) -> Manifest:
    labels = {"app": app or name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    return _object("apps/v1", "Deployment", name, namespace, {"spec": spec})


def job(name: str, namespace: str = "", *, ttl: int | None = None) -> Manifest:
    """With a `ttl`, in seconds, Kubernetes deletes it when it is done."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "busybox:1"}]}
    spec: dict[str, Any] = {"template": {"spec": pod}}
    if ttl is not None:
        spec["ttlSecondsAfterFinished"] = ttl
    return _object("batch/v1", "Job", name, namespace, {"spec": spec})


def widget(name: str, namespace: str = "", *, group: str = "example.test", size: int = 1) -> Manifest:
    return _object(f"{group}/v1", "Widget", name, namespace, {"spec": {"size": size}})


def widget_definition(group: str = "example.test") -> Manifest:
    """The CustomResourceDefinition of `widget`."""
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    return _object(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"widgets.{group}", "", {"spec": spec}
    )


def strategic(api_version: str, kind: str, name: str, **rest: object) -> Manifest:
    """A strategic merge patch."""
    return _object(api_version, kind, name, "", rest)


def kustomization_file(**fields: object) -> str:
    """A kustomization.yaml."""
    return json.dumps(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **fields}, indent=1
    )


def _object(
    api_version: str,
    kind: str,
    name: str,
    namespace: str,
    rest: dict[str, Any],
    *,
    annotations: dict[str, str] | None = None,
) -> Manifest:
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}
