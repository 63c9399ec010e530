"""Read a Secret that an object refers to: from the API server, each time, so that nothing secret is kept."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

import msgspec

from shared.kube.client import Client


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


def reader(client: Client) -> Callable[[str, str], Awaitable[Mapping[str, bytes]]]:
    """A function that gives the data of the Secret `name` in `namespace`.

    It raises NotFound, another ApiError, or Unreachable.
    """

    async def read_secret(namespace: str, name: str) -> Mapping[str, bytes]:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}"
        found = msgspec.json.decode(await client.request("GET", path), type=_Secret)
        return {key: _decoded(value) for key, value in (found.data or {}).items()}

    return read_secret


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:  # the API server writes nothing else; the key then counts as empty
        return b""
