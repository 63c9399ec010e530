"""Reading and writing one object by name: server-side apply, metadata reads, delete with a UID precondition.

Each write is idempotent. Answers are metadata only: it is what tells whether something changed
(resourceVersion) and who owns what (managedFields), at a fraction of the bytes.
"""

import msgspec

from shared.kube.client import APPLY_PATCH, JSON, METADATA_LIST, METADATA_ONLY, Client, Identity
from shared.kube.discovery import Resource
from shared.kube.errors import Conflict, NotFound
from shared.kube.ownership import ObjectMeta, PartialObject

_object = msgspec.json.Decoder(PartialObject)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _PartialList(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[PartialObject] | None = None  # null when there is none


_list = msgspec.json.Decoder(_PartialList)


class MetadataList(msgspec.Struct, frozen=True):
    """A list at one resourceVersion. `complete` is False when it was cut at the limit asked for."""

    items: list[ObjectMeta]
    resource_version: str
    complete: bool


async def apply(
    client: Client,
    resource: Resource,
    namespace: str,
    name: str,
    body: bytes,
    *,
    manager: str,
    identity: Identity | None,
    dry_run: bool = False,
) -> ObjectMeta:
    """Server-side apply with force; returns the metadata after it.

    `fieldValidation=Ignore` spares the API server a tenth of its work, and unknown fields of typed kinds
    are refused all the same.

    Raises:
        ApiError, Unreachable: of the one request.
    """
    query = {"fieldManager": manager, "force": "true", "fieldValidation": "Ignore"}
    if dry_run:
        query["dryRun"] = "All"
    raw = await client.request(
        "PATCH",
        resource.path(namespace, name),
        body=body,
        content_type=APPLY_PATCH,
        query=query,
        identity=identity,
        accept=METADATA_ONLY,
    )
    return _object.decode(raw).metadata


async def create(
    client: Client,
    resource: Resource,
    namespace: str,
    name: str,
    body: bytes,
    *,
    manager: str,
    identity: Identity | None,
) -> ObjectMeta | None:
    """Server-side apply of an object that must not be there; None, and nothing is changed, if one is.

    A resourceVersion in an apply is a precondition of a change (KEP-555) and overlooked by a creation. No
    object has the one that is sent here, so a single request makes the object or leaves alone what somebody
    else has made, with no time between a look and a write. A plain POST would own its fields by `Update`,
    not by `Apply`. (Tried on Kubernetes 1.37: core, apps, custom resources and definitions. Where a server
    would not create so, None is the answer, too: look, and apply.)

    Raises:
        ApiError, Unreachable: of the one request.
    """
    try:
        return await apply(
            client, resource, namespace, name, unmade(body), manager=manager, identity=identity
        )
    except Conflict:
        return None


def unmade(body: bytes) -> bytes:
    """The JSON object `body` with a resourceVersion that no object has, unless it brings one itself."""
    fields = _members.decode(body)
    metadata = bytes(fields["metadata"])
    if b'"resourceVersion"' not in metadata:
        fields["metadata"] = msgspec.Raw(b'{"resourceVersion":"1",' + metadata.lstrip()[1:])
    return msgspec.json.encode(fields)


async def get_metadata(
    client: Client, resource: Resource, namespace: str, name: str, *, identity: Identity | None
) -> ObjectMeta | None:
    """The metadata of an object, or None when the API server says that this very object is not there."""
    try:
        raw = await client.request(
            "GET", resource.path(namespace, name), identity=identity, accept=METADATA_ONLY
        )
    except NotFound:
        return None
    return _object.decode(raw).metadata


async def list_metadata(
    client: Client,
    resource: Resource,
    namespace: str = "",
    *,
    identity: Identity | None,
    label_selector: str = "",
    field_selector: str = "",
    at_most: int | None = None,
) -> MetadataList:
    """All objects of a kind as metadata, in pages; stops at `at_most`."""
    query = {"limit": str(min(at_most, 5000) if at_most else 5000)}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    found: list[ObjectMeta] = []
    while True:
        raw = await client.request(
            "GET", resource.path(namespace), query=query, identity=identity, accept=METADATA_LIST
        )
        page = _list.decode(raw)
        found.extend(item.metadata for item in page.items or ())
        if not page.metadata.continue_ or (at_most is not None and len(found) >= at_most):
            return MetadataList(found, page.metadata.resource_version, not page.metadata.continue_)
        query["continue"] = page.metadata.continue_


async def delete(
    client: Client,
    resource: Resource,
    namespace: str,
    name: str,
    *,
    uid: str,
    resource_version: str,
    identity: Identity | None,
) -> bool:
    """Delete the object if it is still in the very state that was looked at; False when it was gone already.

    In the background: what it owns goes after it.

    Raises:
        Conflict: it changed, or another object lives under that name now; it was not touched.
    """
    options = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
    }
    try:
        await client.request(
            "DELETE",
            resource.path(namespace, name),
            body=msgspec.json.encode(options),
            content_type=JSON,
            identity=identity,
            accept=METADATA_ONLY,
        )
    except NotFound:
        return False
    return True
