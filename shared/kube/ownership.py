"""Who owns which fields of an object, read from `metadata.managedFields`.

The entry of our field manager (operation Apply, no subresource) is the evidence of drift: every way in
which another writer changes or removes a value of ours shrinks or removes that entry, and a repair makes it
byte-identical again (measured on a real API server in 44 cases, see docs/decisions). So its digest is
remembered, not the object. Its time is kept too: a foreign writer under our own name with the same fields
moves the time only.

Source: Kubernetes, server-side apply, "Field management"; KEP-555.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

# Managers whose fields are taken over and undone, as Flux does (contract 7.4): what `kubectl apply` or
# `kubectl edit` added by hand is drift.
_KUBECTL_PREFIX = "kubectl"
_BEFORE_FIRST_APPLY = "before-first-apply"


FieldPath = tuple[str, ...]  # keys of fieldsV1 from the root, such as ("f:spec", "f:replicas")


class ManagedFields(msgspec.Struct, rename="camel", gc=False):
    """One entry; `fields_v1` is the undecoded JSON of `fieldsV1`."""

    manager: str = ""
    operation: str = ""
    api_version: str = ""
    time: str = ""
    subresource: str = ""
    fields_v1: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="fieldsV1")


class ObjectMeta(msgspec.Struct, rename="camel", gc=False):
    """What a metadata-only read, watch or write gives of an object."""

    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None
    managed_fields: list[ManagedFields] = []

    def steering(self, key: str) -> str:
        """The value of a steering label or annotation in lower case; the label wins; "" when absent."""
        return (self.labels.get(key) or self.annotations.get(key) or "").lower()


class PartialObject(msgspec.Struct, rename="camel", gc=False):
    """`PartialObjectMetadata`."""

    metadata: ObjectMeta
    api_version: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Our Apply entry of one object: digest of its fieldsV1, and its time (one second's resolution)."""

    digest: str
    time: str


def ownership(meta: ObjectMeta, manager: str, ignored: Collection[FieldPath] = ()) -> Ownership | None:
    """Our entry, or None when the object holds no field of ours; as if it never had those at `ignored`."""
    for entry in meta.managed_fields:
        if entry.manager == manager and entry.operation == "Apply" and not entry.subresource:
            fields = bytes(entry.fields_v1)
            if ignored:
                fields = msgspec.json.encode(without(msgspec.json.decode(fields), ignored), order="sorted")
            return Ownership(hashlib.blake2b(fields, digest_size=16).hexdigest(), entry.time)
    return None


def without(fields: Any, paths: Collection[FieldPath]) -> Any:
    """A decoded fieldsV1 document less what stands at `paths`, and less what has nothing else below it."""
    for path in paths:
        fields = _without(fields, path)
    return fields


def _without(fields: Any, path: FieldPath) -> Any:
    if not isinstance(fields, dict) or not path or path[0] not in fields:
        return fields
    below = fields[path[0]]
    left = _without(below, path[1:]) if len(path) > 1 and below else {}
    if left:
        return {**fields, path[0]: left}
    return {key: child for key, child in fields.items() if key != path[0]}


def is_taken_over(entry: ManagedFields, manager: str) -> bool:
    """Whether an entry's fields are to become ours (and vanish, where the source does not have them)."""
    if entry.subresource:
        return False
    if entry.manager.startswith(_KUBECTL_PREFIX):
        return True
    return entry.operation == "Update" and entry.manager in (_BEFORE_FIRST_APPLY, manager)


def foreign_entries(
    meta: ObjectMeta, manager: str, ignored: Collection[FieldPath] = ()
) -> list[ManagedFields]:
    """Entries whose managers wrote by hand and are to be taken over; not those that wrote to `ignored`
    only."""
    return [
        entry
        for entry in meta.managed_fields
        if is_taken_over(entry, manager)
        and (not ignored or without(msgspec.json.decode(entry.fields_v1), ignored))
    ]


def field_paths(fields_v1: bytes, *, limit: int = 1000) -> set[str]:
    """The leaf paths of a fieldsV1 document in the field's terms: `spec.replicas`, `data.key`,
    `spec.containers[name=app].image`. At most `limit`, for messages only."""
    return set(_leaves(msgspec.json.decode(fields_v1), "", [limit]))


def _leaves(node: object, path: str, budget: list[int]) -> Iterator[str]:
    children = node.items() if isinstance(node, dict) else ()
    below = [(key, child) for key, child in children if key != "."]
    if not below:
        if path and budget[0] > 0:
            budget[0] -= 1
            yield path
        return
    for key, child in below:
        yield from _leaves(child, _step(path, key), budget)


def _step(path: str, key: str) -> str:
    tag, _, rest = key.partition(":")
    if tag == "f":
        return f"{path}.{rest}" if path else rest
    if tag == "k":
        keys = msgspec.json.decode(rest)
        return f"{path}[{','.join(f'{k}={v}' for k, v in keys.items())}]"
    return f"{path}[{rest.strip(chr(34))}]"  # v: (a set's value) and i: (an index)
