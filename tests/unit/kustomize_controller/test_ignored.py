"""Fields that others may change: what is sent instead of them, and how managedFields names them."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from kustomize_controller.kustomization.ignored import body_for, field_paths, pointers_error
from kustomize_controller.kustomization.names import FIELD_MANAGER
from shared.kube.ownership import ManagedFields, ObjectMeta, without

Fields = dict[str, Any]
REPLICAS: Fields = {"f:spec": {"f:replicas": {}}}
APP, PROXY = 'k:{"name":"app"}', 'k:{"name":"proxy"}'
IMAGES: Fields = {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}}}}}


def body(spec: object) -> bytes:
    return json.dumps({"kind": "Thing", "metadata": {"name": "x"}, "spec": spec}).encode()


def meta(*owners: tuple[str, Fields]) -> ObjectMeta:
    fields = [{"manager": name, "operation": "Update", "fieldsV1": owned} for name, owned in owners]
    raw = {"name": "x", "resourceVersion": "7", "managedFields": fields}
    return msgspec.json.decode(json.dumps(raw), type=ObjectMeta)


def owns(manager: str, **fields: Fields) -> tuple[str, Fields]:
    """An owner of fields of the spec; "" is us."""
    return manager or FIELD_MANAGER, {"f:spec": {f"f:{name}": owned for name, owned in fields.items()}}


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
        ((FIELD_MANAGER, REPLICAS), ("autoscaler", REPLICAS)), "/spec/replicas", {"replicas": 3, "a": 1},
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
    "a branch with a key of another one": (
        {"m": {"a": 1}}, {"m": {"a": 1, "x": 5}}, (owns("", m={"f:a": {}}), owns("injector", m={"f:x": {}})),
        "/spec/m", {"m": {"a": 1}},
    ),
    "a branch in which another one took a key": (
        {"m": {"a": 1, "b": 1}}, {"m": {"a": 5, "b": 2}},
        (owns("", m={"f:b": {}}), owns("person", m={".": {}, "f:a": {}})), "/spec/m", {"m": {"b": 2}},
    ),
    "a branch with a key of ours and another's": (
        {"m": {"a": 1}}, {"m": {"a": 1}}, (owns("", m={"f:a": {}}), owns("peer", m={"f:a": {}})),
        "/spec/m", {"m": {"a": 1}},
    ),
    "a branch with a key of nobody's": (
        {"m": {"a": 1}}, {"m": {"a": 1, "u": 3, "x": 5}},
        (owns("", m={"f:a": {}}), owns("injector", m={"f:x": {}})), "/spec/m", {"m": {"a": 1, "u": 3}},
    ),
    "a branch that is another's": (
        {"m": {"a": 1}, "b": 1}, {"m": {"a": 5, "x": 5}}, (owns("person", m={"f:a": {}, "f:x": {}}),),
        "/spec/m", {"b": 1},
    ),
    "an empty branch of ours that others filled": (
        {"m": {}}, {"m": {"x": 5}}, (owns("", m={}), owns("injector", m={"f:x": {}})), "/spec/m", {"m": {}},
    ),
    "a branch in a branch": (
        {"m": {"n": {"a": 1}}}, {"m": {"n": {"a": 1, "x": 5}, "o": {"y": 1}}},
        (owns("", m={"f:n": {"f:a": {}}}), owns("injector", m={"f:n": {"f:x": {}}, "f:o": {"f:y": {}}})),
        "/spec/m", {"m": {"n": {"a": 1}}},
    ),
    "a branch in one piece, ours": (
        {"m": {"a": 1}}, {"m": {"a": 1, "b": 2}}, (owns("", m={}), owns("peer", m={})), "/spec/m",
        {"m": {"a": 1, "b": 2}},
    ),
    "a field of a branch that another one has in one piece": (
        {"m": {"a": 1, "b": 1}}, {"m": {"a": 5, "b": 1}}, (owns("person", m={}),), "/spec/m/a",
        {"m": {"a": 5, "b": 1}},
    ),
    "a plain list of ours and another's": (
        {"args": ["x"]}, {"args": ["y", "z"]}, (owns("", args={}), owns("peer", args={})), "/spec/args",
        {"args": ["y", "z"]},
    ),
    "a plain list that is another's": (
        {"args": ["x"], "b": 1}, {"args": ["y"]}, (owns("person", args={}),), "/spec/args", {"b": 1},
    ),
    "a list of named elements": (
        {"containers": containers(app="app:1")}, {"containers": containers(proxy="p:1", app="app:2")},
        (owns("", containers={APP: {".": {}, "f:name": {}, "f:image": {}}}),
         owns("mesh", containers={PROXY: {".": {}, "f:name": {}, "f:image": {}}})),
        "/spec/containers", {"containers": containers(app="app:2")},
    ),
    "a named element in which another one took a field": (
        {"containers": [{"name": "app", "image": "app:1", "tty": True}]},
        {"containers": [{"name": "app", "image": "app:2", "tty": False}]},
        (owns("", containers={APP: {"f:tty": {}}}), owns("updater", containers={APP: {"f:image": {}}})),
        "/spec/containers", {"containers": [{"name": "app", "tty": False}]},
    ),
    "one element of a list, in which another one took a field": (
        {"containers": [{"name": "app", "image": "app:1", "tty": True}]},
        {"containers": [{"name": "app", "image": "app:2", "tty": False}]},
        (owns("", containers={APP: {".": {}, "f:name": {}, "f:tty": {}}}),
         owns("updater", containers={APP: {"f:image": {}}})),
        "/spec/containers/0", {"containers": [{"name": "app", "tty": False}]},
    ),
    "one element of a list that is another's": (
        {"containers": containers(app="app:1")}, {"containers": containers(app="app:2")},
        (("updater", IMAGES),), "/spec/containers/0", {"containers": [{"name": "app"}]},
    ),
    "elements known by two fields": (
        {"ports": [{"port": 1, "protocol": "UDP"}]},
        {"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}]},
        (owns("", ports={'k:{"port":1,"protocol":"UDP"}': {".": {}}}),
         owns("mesh", ports={'k:{"port":1,"protocol":"TCP"}': {".": {}}})),
        "/spec/ports", {"ports": [{"port": 1, "protocol": "UDP"}]},
    ),
    "an element without a name that stands elsewhere": (
        {"ports": [{"port": 80, "host": 1}]}, {"ports": [{"port": 9, "host": 9}, {"port": 80, "host": 2}]},
        (owns("", ports={'k:{"port":80}': {".": {}, "f:port": {}, "f:host": {}}}),), "/spec/ports/0/host",
        {"ports": [{"port": 80, "host": 2}]},
    ),
    "a set of values": (
        {"hosts": ["a"]}, {"hosts": ["a", "x", "u"]},
        (owns("", hosts={'v:"a"': {}}), owns("injector", hosts={'v:"x"': {}})), "/spec/hosts",
        {"hosts": ["a", "u"]},
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


def test_objects_with_the_same_paths_share_them() -> None:
    one, two = (field_paths(body({"replicas": count}), ["/spec/replicas"], []) for count in (1, 2))
    assert one is two


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


MANY = [f"/data/k{n}" for n in range(101)]
LONG = "/data/" + "k" * 251

NOT_TAKEN: dict[str, tuple[list[str], str]] = {
    "all": ([""], "'' is part of what an object is; "),
    "its name": (["/data", "/metadata/name"], "'/metadata/name' is part of what an object is; "),
    "all labels": (["/metadata/labels"], "'/metadata/labels' is part of what an object is; "),
    "its kind": (["/kind"], "'/kind' is part of what an object is; "),
    "no pointer": (["spec"], "'spec' is no JSON pointer: "),
    "too many": (MANY, "there are 101 pointers, and at most 100 are allowed; "),
    "too long": ([LONG], f"'{LONG[:40]}...' has 257 characters, and at most 256 are allowed; "),
}


@pytest.mark.parametrize(("pointers", "told"), NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_what_cannot_be_ignored(pointers: list[str], told: str) -> None:
    assert pointers_error(pointers).startswith(told)


@pytest.mark.parametrize(
    "pointers", [["/spec/replicas"], ["/metadata/annotations/a~1b", "/data"], MANY[:100], [LONG[:256]], []]
)
def test_what_can_be_ignored(pointers: list[str]) -> None:
    assert not pointers_error(pointers)
