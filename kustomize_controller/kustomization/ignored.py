"""Fields that others may change (`spec.ignore`): set when an object is created, later kept as they are live.

Server-side apply takes a field away that we owned and do not send any more. So where an object is there
already, such a field is sent as it is live as long as it is ours, also where others own it beside us, and
not at all once it is theirs alone: then it stays without us, and we do not stand in its owner's way. Of a
branch, such as `/data`, that is said of each leaf. And of our managedFields entry such a field counts for
nothing, or its new owner would look like drift.

Pointers are JSON pointers (RFC 6901) into the object; a number in one means the element of the desired list
at that place, which in the live list is the one of the same keys, or the same name. All but `keep_live` is
pure.

Source: behaviour-kustomize.md 7.4.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from kustomize_controller.kustomization.names import FIELD_MANAGER
from shared.kube.client import Client, Identity
from shared.kube.discovery import Resource
from shared.kube.errors import NotFound
from shared.kube.ownership import FieldPath, ManagedFields, ObjectMeta

__all__ = ["body_for", "field_paths", "keep_live", "pointers_error", "shared"]

MAX_POINTERS = 100  # of one spec: each costs time at every event about an object
MAX_POINTER = 256  # characters

# What makes an object this one, and ours.
_OURS = (
    "", "/", "/apiVersion", "/kind", "/metadata", "/metadata/name", "/metadata/namespace", "/metadata/labels",
)  # fmt: skip

_MISSING: Any = object()
_IN_ONE_PIECE: Any = object()  # below something that has one owner as a whole, such as a plain list


class _Live(msgspec.Struct):
    metadata: ObjectMeta


def pointers_error(pointers: Sequence[str]) -> str:
    """Why the pointers of a spec cannot be ignored, and what to do; "" if they can."""
    if len(pointers) > MAX_POINTERS:
        return (
            f"there are {len(pointers)} pointers, and at most {MAX_POINTERS} are allowed; point to a branch, "
            "such as /data, in place of its fields"
        )
    for pointer in pointers:
        if why := _pointer_error(pointer):
            shown = pointer if len(pointer) <= MAX_POINTER else pointer[:40] + "..."
            return f"'{shown}' {why}; correct or remove it"
    return ""


def _pointer_error(pointer: str) -> str:
    if len(pointer) > MAX_POINTER:
        return f"has {len(pointer)} characters, and at most {MAX_POINTER} are allowed"
    if pointer in _OURS:
        return "is part of what an object is"
    if not pointer.startswith("/"):
        return "is no JSON pointer: it begins with a slash, such as /spec/replicas"
    return ""


async def keep_live(
    client: Client,
    resource: Resource,
    namespace: str,
    name: str,
    *,
    identity: Identity | None,
    body: bytes,
    pointers: Sequence[str],
) -> bytes:
    """What to apply in place of `body`: as the tenant, the live object is read for it.

    The result names the resourceVersion that was read, so that an apply answers Conflict if it moved.

    Raises:
        ApiError, Unreachable: of the read.
    """
    try:
        raw = await client.request("GET", resource.path(namespace, name), identity=identity)
    except NotFound:
        return body
    meta = msgspec.json.decode(raw, type=_Live).metadata
    return body_for(body, msgspec.json.decode(raw), meta, pointers)


def body_for(body: bytes, live: Mapping[str, Any], meta: ObjectMeta, pointers: Sequence[str]) -> bytes:
    """`body` with the fields at `pointers` as `live` has them, for an apply to that very state."""
    desired: dict[str, Any] = msgspec.json.decode(body)
    ours: list[Any] = []
    others: list[Any] = []  # scale among them
    for entry in meta.managed_fields:
        trees = ours if entry.manager == FIELD_MANAGER else others
        trees.append(msgspec.json.decode(entry.fields_v1))
    for pointer in pointers:
        steps = _steps(pointer)
        if _at(desired, steps) is _MISSING:
            continue
        path = _path(steps, desired, [*ours, *others])
        value = _at(live, steps, names_from=desired) if path is None else _at_path(live, path)
        if path is not None and value is not _MISSING:
            value = _kept_at(value, path, ours, others)
        if value is _MISSING:
            _remove(desired, steps)
        else:
            _set(desired, steps, value)
    desired["metadata"]["resourceVersion"] = meta.resource_version
    return msgspec.json.encode(desired, order="sorted")


def field_paths(
    body: bytes, pointers: Sequence[str], entries: Iterable[ManagedFields]
) -> tuple[FieldPath, ...]:
    """The fields at `pointers` as fieldsV1 names them."""
    desired = msgspec.json.decode(body)
    trees = [msgspec.json.decode(entry.fields_v1) for entry in entries]
    found = (_path(_steps(pointer), desired, trees) for pointer in pointers)
    return shared(tuple(path for path in found if path is not None))


@lru_cache(maxsize=1024)
def shared(paths: tuple[FieldPath, ...]) -> tuple[FieldPath, ...]:
    """`paths`, the same tuple for all objects that have them alike: a rule often covers thousands."""
    return paths


# --- what of a live value is sent; trees are decoded fieldsV1 documents ---


def _kept_at(value: Any, path: FieldPath, ours: Sequence[Any], others: Sequence[Any]) -> Any:
    """What of the live `value` at `path` is sent; _MISSING if nothing."""
    mine, theirs = ([_node(tree, path) for tree in trees] for trees in (ours, others))
    if _IN_ONE_PIECE in (*mine, *theirs):  # what stands around it is sent, and would take it away
        return value
    mine, theirs = ([node for node in nodes if node is not _MISSING] for nodes in (mine, theirs))
    if path[-1].startswith("k:"):  # its place in the list stays, so at least its name is sent
        return _named(_kept(value, mine, theirs), path[-1])
    return _kept(value, mine, theirs)


def _kept(value: Any, mine: Sequence[Any], theirs: Sequence[Any]) -> Any:
    """A live value less its leaves that are theirs alone; _MISSING where that is all of it."""
    if not theirs:
        return value
    if not mine:
        return _MISSING
    if isinstance(value, dict) and _has_parts(*mine, *theirs):
        parts = {key: _kept(part, *_below(f"f:{key}", mine, theirs)) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part is not _MISSING}
    if isinstance(value, list) and _has_parts(*mine, *theirs):
        return _kept_elements(value, mine, theirs)
    return value


def _kept_elements(items: Sequence[Any], mine: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    """The same of a list whose elements have owners: known by keys (`k:`), or by their value (`v:`)."""
    names = {_token(key): key for node in (*mine, *theirs) for key in node if key != "."}
    forms = {tuple(msgspec.json.decode(key[2:])) for key in names.values() if key.startswith("k:")}
    kept: list[Any] = []
    for item in items:
        tokens = [_encode(item)]
        if isinstance(item, dict):
            tokens = [_encode({name: item.get(name) for name in form}) for form in forms]
        key = next((names[token] for token in tokens if token in names), "")
        part = _kept(item, *_below(key, mine, theirs))
        if part is not _MISSING:
            kept.append(_named(part, key) if key.startswith("k:") else part)
    return kept


def _named(part: Any, key: str) -> dict[str, Any]:
    """What is sent of an element, with the fields by which the list knows it."""
    return {**msgspec.json.decode(key[2:]), **({} if part is _MISSING else part)}


def _has_parts(*nodes: Any) -> bool:
    return any(key != "." for node in nodes for key in node)


def _below(key: str, *groups: Sequence[Any]) -> Iterable[list[Any]]:
    return ([node[key] for node in nodes if key in node] for nodes in groups)


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _token(key: str) -> bytes:
    """A key of fieldsV1, such as `k:{"name":"app"}`, without its tag and in one spelling."""
    tag, _, rest = key.partition(":")
    return _encode(msgspec.json.decode(rest)) if tag in ("k", "v") else key.encode()


def _at_path(node: Any, path: FieldPath) -> Any:
    """What stands in a live object at a path of fieldsV1."""
    for step in path:
        tag, _, name = step.partition(":")
        if tag == "f":
            node = node.get(name, _MISSING) if isinstance(node, dict) else _MISSING
        else:
            wanted = msgspec.json.decode(name).items()
            items = node if isinstance(node, list) else []
            node = next((one for one in items if isinstance(one, dict) and wanted <= one.items()), _MISSING)
    return node


def _node(tree: Any, path: FieldPath) -> Any:
    node = tree
    for step in path:
        if step not in node:
            return _MISSING if node or node is tree else _IN_ONE_PIECE
        node = node[step]
    return node


# --- pointers ---


def _path(steps: Sequence[str], desired: Mapping[str, Any], trees: Sequence[Any]) -> FieldPath | None:
    """The path in fieldsV1, or None where an element of a list has no key by which any tree knows it."""
    path: list[str] = []
    node: Any = desired
    for step in steps:
        if isinstance(node, list):
            element = _element(node, step)
            key = _key_of(element, tuple(path), trees)
            if key is None:
                return None
            path.append(key)
            node = element
        else:
            path.append(f"f:{step}")
            node = node.get(step, _MISSING) if isinstance(node, dict) else _MISSING
    return tuple(path)


def _key_of(element: Any, path: FieldPath, trees: Sequence[Any]) -> str | None:
    """The key, such as `k:{"name":"app"}`, under which a tree knows `element` of the list at `path`."""
    for tree in trees:
        node = tree
        for step in path:
            node = node.get(step, {}) if isinstance(node, dict) else {}
        for key in node:
            tag, _, rest = key.partition(":")
            if tag == "k" and isinstance(element, dict):
                wanted = msgspec.json.decode(rest)
                if all(element.get(name) == value for name, value in wanted.items()):
                    return str(key)
    return None


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _element(items: list[Any], step: str) -> Any:
    return items[int(step)] if step.isdecimal() and int(step) < len(items) else _MISSING


def _at(node: Any, steps: Sequence[str], *, names_from: Any = _MISSING) -> Any:
    """What stands at a pointer. With `names_from`, an element is the one of the name that is there."""
    for step in steps:
        model = _MISSING
        if isinstance(names_from, list):
            model = _element(names_from, step)
        elif isinstance(names_from, dict):
            model = names_from.get(step, _MISSING)
        if isinstance(node, dict):
            node = node.get(step, _MISSING)
        elif isinstance(node, list):
            named = isinstance(model, dict) and "name" in model
            same = [
                one for one in node if named and isinstance(one, dict) and one.get("name") == model["name"]
            ]
            node = (same[0] if same else _MISSING) if named else _element(node, step)
        else:
            return _MISSING
        names_from = model
    return node


def _set(node: Any, steps: Sequence[str], value: Any) -> None:
    holder, last = _at(node, steps[:-1]), steps[-1]
    holder[int(last) if isinstance(holder, list) else last] = value


def _remove(node: Any, steps: Sequence[str]) -> None:
    holder, last = _at(node, steps[:-1]), steps[-1]
    if isinstance(holder, dict):  # an element of a list stays: without it the next one would take its place
        del holder[last]
