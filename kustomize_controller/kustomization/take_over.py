"""Taking over what was written to an object by hand with kubectl, before it is applied.

As Flux does (contract 7.4): the fields that kubectl's managers own become ours, so that the apply which
follows keeps those that the source has and removes the rest; annotations and labels of older tools go. One
JSON patch, conditional on the resourceVersion that was looked at.
"""

from typing import Any

import msgspec

from kustomize_controller.kustomization.names import FIELD_MANAGER, PREFIX
from shared.kube import errors
from shared.kube.client import METADATA_ONLY, Client, Identity
from shared.kube.discovery import Resource
from shared.kube.ownership import ObjectMeta, foreign_entries

JSON_PATCH = "application/json-patch+json"

LEGACY_ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    PREFIX + "checksum",
    "fluxcd.io/sync-checksum",
)
LEGACY_LABELS = ("fluxcd.io/sync-gc-mark",)


def patch_for(meta: ObjectMeta, now: str) -> list[dict[str, Any]]:
    """The JSON patch that makes the fields of kubectl's managers ours; [] when there is nothing to take
    over. Pure.

    Args:
        now: RFC 3339, for an entry of ours that did not exist before.
    """
    operations: list[dict[str, Any]] = [
        {"op": "remove", "path": f"/metadata/{part}/{key.replace('~', '~0').replace('/', '~1')}"}
        for part, keys, held in (
            ("annotations", LEGACY_ANNOTATIONS, meta.annotations),
            ("labels", LEGACY_LABELS, meta.labels),
        )
        for key in keys
        if key in held
    ]
    foreign = foreign_entries(meta, FIELD_MANAGER)
    if foreign:
        operations.append({"op": "replace", "path": "/metadata/managedFields", "value": _merged(meta, now)})
    if operations:
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": meta.resource_version}
        operations.insert(0, version)
    return operations


def _merged(meta: ObjectMeta, now: str) -> list[dict[str, Any]]:
    foreign = foreign_entries(meta, FIELD_MANAGER)
    kept = [entry for entry in meta.managed_fields if entry not in foreign]
    ours = next(
        (e for e in kept if e.manager == FIELD_MANAGER and e.operation == "Apply" and not e.subresource),
        None,
    )
    fields: dict[str, Any] = {}
    for entry in [*([ours] if ours else []), *foreign]:
        _unite(fields, msgspec.json.decode(entry.fields_v1))
    first = ours or foreign[0]
    result = [
        {
            "manager": FIELD_MANAGER,
            "operation": "Apply",
            "apiVersion": first.api_version,
            "time": first.time or now,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
    ]
    for entry in kept:
        if entry is ours:
            continue
        raw: dict[str, Any] = {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": msgspec.json.decode(entry.fields_v1),
        }
        if entry.time:
            raw["time"] = entry.time
        if entry.subresource:
            raw["subresource"] = entry.subresource
        result.append(raw)
    return result


def _unite(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, child in other.items():
        if isinstance(child, dict) and isinstance(into.get(key), dict):
            _unite(into[key], child)
        else:
            into.setdefault(key, child)


async def take_over(
    client: Client,
    resource: Resource,
    meta: ObjectMeta,
    identity: Identity | None,
    now: str,
) -> bool:
    """Send the patch, if there is anything to take over; returns whether it was sent.

    An object that changed under our hands is left as it is: the next event about it starts another run.

    Raises:
        ApiError, Unreachable: it was not taken over.
    """
    operations = patch_for(meta, now)
    if not operations:
        return False
    try:
        await client.request(
            "PATCH",
            resource.path(meta.namespace, meta.name),
            body=msgspec.json.encode(operations),
            content_type=JSON_PATCH,
            query={"fieldManager": FIELD_MANAGER},
            identity=identity,
            accept=METADATA_ONLY,
        )
    except (errors.Conflict, errors.NotFound):
        return False
    return True
