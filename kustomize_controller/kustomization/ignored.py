"""Fields that others may change (`spec.ignore`): set when an object is created, later kept as they are live.

Server-side apply takes a field away that we owned and do not send any more. So where an object is there
already, what is sent is the live value of such a field as long as nobody but us owns it, and nothing once
somebody else does: then it stays without us, and we do not stand in its owner's way. And of our managedFields
entry such a field counts for nothing, or its new owner would look like drift.

Pointers are JSON pointers (RFC 6901) into the object; a number in one means the element of the desired list
at that place, which in the live list is the one of the same name. All but `keep_live` is pure.

Source: behaviour-kustomize.md 7.4.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from kustomize_controller.kustomization.names import FIELD_MANAGER
from shared.kube.client import Client, Identity
from shared.kube.discovery import Resource
from shared.kube.errors import NotFound
from shared.kube.ownership import FieldPath, ManagedFields, ObjectMeta, without

__all__ = ["body_for", "field_paths", "keep_live", "pointer_error"]

# What makes an object this one, and ours.
_OURS = (
    "", "/", "/apiVersion", "/kind", "/metadata", "/metadata/name", "/metadata/namespace", "/metadata/labels",
)  # fmt: skip

_MISSING: Any = object()


class _Live(msgspec.Struct):
    metadata: ObjectMeta


def pointer_error(pointer: str) -> str:
    """Why `pointer` cannot be ignored; "" if it can."""
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
    others = [entry for entry in meta.managed_fields if entry.manager != FIELD_MANAGER]  # scale among them
    for pointer in pointers:
        steps = _steps(pointer)
        if _at(desired, steps) is _MISSING:
            continue
        value = _at(live, steps, names_from=desired)
        path = field_path(steps, desired, others)
        if value is _MISSING or (path is not None and any(_owns(entry, path) for entry in others)):
            _remove(desired, steps)
        else:
            _set(desired, steps, value)
    desired["metadata"]["resourceVersion"] = meta.resource_version
    return msgspec.json.encode(desired, order="sorted")


def field_paths(
    body: bytes, pointers: Sequence[str], entries: Collection[ManagedFields]
) -> tuple[FieldPath, ...]:
    """The fields at `pointers` as fieldsV1 names them."""
    desired = msgspec.json.decode(body)
    found = (field_path(_steps(pointer), desired, entries) for pointer in pointers)
    return tuple(path for path in found if path is not None)


def field_path(
    steps: Sequence[str], desired: Mapping[str, Any], entries: Collection[ManagedFields]
) -> FieldPath | None:
    """The path in fieldsV1, or None where an element of a list has no key by which any entry knows it."""
    path: list[str] = []
    node: Any = desired
    for step in steps:
        if isinstance(node, list):
            element = _element(node, step)
            key = _key_of(element, tuple(path), entries)
            if key is None:
                return None
            path.append(key)
            node = element
        else:
            path.append(f"f:{step}")
            node = node.get(step, _MISSING) if isinstance(node, dict) else _MISSING
    return tuple(path)


def _key_of(element: Any, path: FieldPath, entries: Collection[ManagedFields]) -> str | None:
    """The key, such as `k:{"name":"app"}`, under which an entry knows `element` of the list at `path`."""
    for entry in entries:
        node = msgspec.json.decode(entry.fields_v1)
        for step in path:
            node = node.get(step, {}) if isinstance(node, dict) else {}
        for key in node:
            tag, _, rest = key.partition(":")
            if tag == "k" and isinstance(element, dict):
                wanted = msgspec.json.decode(rest)
                if all(element.get(name) == value for name, value in wanted.items()):
                    return str(key)
    return None


def _owns(entry: ManagedFields, path: FieldPath) -> bool:
    fields = msgspec.json.decode(entry.fields_v1)
    return bool(without(fields, [path]) != fields)


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
