"""Fields that others may change: what is sent instead of them, and how managedFields names them."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from kustomize_controller.kustomization.ignored import body_for, field_paths, pointer_error
from kustomize_controller.kustomization.names import FIELD_MANAGER
from shared.kube.ownership import ManagedFields, ObjectMeta, without

Fields = dict[str, Any]
REPLICAS: Fields = {"f:spec": {"f:replicas": {}}}
IMAGES: Fields = {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}}}}}


def body(spec: object) -> bytes:
    return json.dumps({"kind": "Thing", "metadata": {"name": "x"}, "spec": spec}).encode()


def meta(*owners: tuple[str, Fields]) -> ObjectMeta:
    fields = [{"manager": name, "operation": "Update", "fieldsV1": owned} for name, owned in owners]
    raw = {"name": "x", "resourceVersion": "7", "managedFields": fields}
    return msgspec.json.decode(json.dumps(raw), type=ObjectMeta)


def containers(**images: str) -> list[dict[str, str]]:
    return [{"name": name, "image": image} for name, image in images.items()]


# desired spec, live spec, owners, pointer -> spec that is sent
SENT: dict[str, tuple[object, object, tuple[tuple[str, Fields], ...], str, object]] = {
    "it is ours and was left alone": (
        {"replicas": 3, "a": 1}, {"replicas": 2}, ((FIELD_MANAGER, REPLICAS),), "/spec/replicas",
        {"replicas": 2, "a": 1},
    ),
    "another one has it": (
        {"replicas": 3, "a": 1}, {"replicas": 5}, (("autoscaler", REPLICAS),), "/spec/replicas", {"a": 1},
    ),
    "another one has it beside us": (
        {"replicas": 3, "a": 1}, {"replicas": 3},
        ((FIELD_MANAGER, REPLICAS), ("autoscaler", REPLICAS)), "/spec/replicas", {"a": 1},
    ),
    "it is not there any more": ({"replicas": 3, "a": 1}, {}, (), "/spec/replicas", {"a": 1}),
    "the source does not have it": ({"a": 1}, {"replicas": 5}, (), "/spec/replicas", {"a": 1}),
    "a whole branch": (
        {"a": {"b": 1, "c": 2}}, {"a": {"b": 5}}, (), "/spec/a", {"a": {"b": 5}},
    ),
    "a name with a slash": ({"a/b": 1}, {"a/b": 2}, (), "/spec/a~1b", {"a/b": 2}),
    "an element by its place": (
        {"args": ["x", "y"]}, {"args": ["x", "z", "w"]}, (), "/spec/args/1", {"args": ["x", "z"]},
    ),
    "an element that stands elsewhere": (
        {"containers": containers(app="app:1")}, {"containers": containers(proxy="p:1", app="app:2")}, (),
        "/spec/containers/0/image", {"containers": containers(app="app:2")},
    ),
    "an element's field that another one has": (
        {"containers": containers(app="app:1")}, {"containers": containers(app="app:2")},
        (("updater", IMAGES),), "/spec/containers/0/image", {"containers": [{"name": "app"}]},
    ),
    "no such element": ({"args": ["x"]}, {"args": ["x"]}, (), "/spec/args/7", {"args": ["x"]}),
    "a place within a text": ({"a": "text"}, {"a": "text"}, (), "/spec/a/b", {"a": "text"}),
}  # fmt: skip


@pytest.mark.parametrize(("desired", "live", "owners", "pointer", "sent"), SENT.values(), ids=SENT)
def test_what_is_sent(
    desired: object, live: object, owners: tuple[tuple[str, Fields], ...], pointer: str, sent: object
) -> None:
    found: Mapping[str, Any] = {"kind": "Thing", "metadata": {"name": "x"}, "spec": live}
    made = json.loads(body_for(body(desired), found, meta(*owners), [pointer]))
    assert made["spec"] == sent
    assert made["metadata"] == {"name": "x", "resourceVersion": "7"}


PATHS: dict[str, tuple[object, str, tuple[tuple[str, ...], ...]]] = {
    "a field": ({"replicas": 1}, "/spec/replicas", (("f:spec", "f:replicas"),)),
    "a field that the source does not have": ({}, "/spec/x", (("f:spec", "f:x"),)),
    "an element's field": (
        {"containers": containers(app="a")}, "/spec/containers/0/image",
        (("f:spec", "f:containers", 'k:{"name":"app"}', "f:image"),),
    ),
    "an element that nobody knows by a key": ({"args": ["x"]}, "/spec/args/0", ()),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "pointer", "paths"), PATHS.values(), ids=PATHS)
def test_paths(spec: object, pointer: str, paths: tuple[tuple[str, ...], ...]) -> None:
    entry = ManagedFields(fields_v1=msgspec.Raw(json.dumps(IMAGES).encode()))
    assert field_paths(body(spec), [pointer], [entry]) == paths


LESS: dict[str, tuple[Fields, tuple[str, ...], Fields]] = {
    "one of two": ({"f:a": {}, "f:b": {}}, ("f:a",), {"f:b": {}}),
    "the last one takes its branch with it": ({"f:s": {"f:a": {}}, "f:b": {}}, ("f:s", "f:a"), {"f:b": {}}),
    "a branch": ({"f:s": {"f:a": {}, "f:b": {}}}, ("f:s",), {}),
    "within what is owned as a whole": ({"f:args": {}, "f:b": {}}, ("f:args", "f:x"), {"f:b": {}}),
    "what is not there": ({"f:s": {"f:a": {}}}, ("f:s", "f:b"), {"f:s": {"f:a": {}}}),
    "an element stays": (IMAGES, ("f:spec", "f:containers", 'k:{"name":"app"}', "f:image"),
                         {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}}}}}),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "path", "left"), LESS.values(), ids=LESS)
def test_without(fields: Fields, path: tuple[str, ...], left: Fields) -> None:
    before = json.dumps(fields)
    assert without(fields, [path]) == left
    assert json.dumps(fields) == before


@pytest.mark.parametrize("pointer", ["", "spec", "/metadata/name", "/metadata/labels", "/kind"])
def test_what_cannot_be_ignored(pointer: str) -> None:
    assert pointer_error(pointer)


@pytest.mark.parametrize("pointer", ["/spec/replicas", "/metadata/annotations/a~1b", "/data"])
def test_what_can_be_ignored(pointer: str) -> None:
    assert not pointer_error(pointer)
