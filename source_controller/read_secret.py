"""Read a Secret that an object refers to: from the API server, each time, so that nothing secret is kept.

Its values are made known to the redactor before anybody else sees them, so that no log, status or event of an
object in its namespace can show one, whoever puts it into a text.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Mapping
from urllib.parse import quote

import msgspec

from shared.kube.client import Client
from shared.runtime.redact import register_all

# Values that are no secret and that messages need: masked, they would make a host key or a user unreadable.
_OPEN = frozenset(
    {
        "address",  # of a proxy; its user part is masked by its shape
        "ca.crt",
        "caFile",
        "githubAppBaseURL",
        "githubAppID",
        "githubAppInstallationID",
        "githubAppInstallationOwner",
        "identity.pub",
        "known_hosts",
        "tls.crt",
    }
)


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


def reader(client: Client) -> Callable[[str, str], Awaitable[Mapping[str, bytes]]]:
    """A function that gives the data of the Secret `name` in `namespace`.

    It raises NotFound, another ApiError, or Unreachable.
    """

    async def read_secret(namespace: str, name: str) -> Mapping[str, bytes]:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}"
        found = msgspec.json.decode(await client.request("GET", path), type=_Secret)
        data = {key: _decoded(value) for key, value in (found.data or {}).items()}
        await register_all(secret_values(data), namespace)
        return data

    return read_secret


def secret_values(data: Mapping[str, bytes]) -> Iterator[bytes]:
    """What of a Secret's data nobody may read elsewhere."""
    for key, value in data.items():
        # A user without a password is a token, as some hosting services want it.
        if key not in _OPEN and not (key == "username" and data.get("password")):
            yield value


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:  # the API server writes nothing else; the key then counts as empty
        return b""
