"""The variables of `spec.postBuild`: what ConfigMaps, Secrets and the spec itself say that names stand for.

They are read with the controller's own rights, in the Kustomization's namespace only: there is no reference
to another one. What a Secret says is known from then on by a keyed hash and by the version of the object,
never by its content. The redactor learns of a value when it goes into a text (`substitute.py`).

Source: behaviour-kustomize.md 5 and 8; the limits are ours.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from shared.api.kustomization import Kustomization, SubstituteFrom
from shared.api.meta import Key
from shared.kube import errors
from shared.kube.client import Client
from shared.kube.discovery import Resource, UnsafeName

__all__ = ["Known", "Reader", "SourceUnreadable", "Variables"]

RESOURCES = {
    "ConfigMap": Resource("", "v1", "ConfigMap", "configmaps", namespaced=True),
    "Secret": Resource("", "v1", "Secret", "secrets", namespaced=True),
}

# Of all objects of substituteFrom. Each may have 1 MiB, and there is no limit to how many a spec lists.
MOST_VARIABLES = 5_000
MOST_CHARS = 4 << 20

# A value is put into a line of YAML. Flux takes out "\n" only, but to YAML the others end a line as well, and
# what follows would be read as fields of its own.
_LINE_ENDS = dict.fromkeys(map(ord, "\n\r\x85\u2028\u2029"))


class SourceUnreadable(Exception):
    """An object of substituteFrom cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What may be remembered of variables.

    Attributes:
        versions: of each object that was read, `Kind/name uid/resourceVersion`; the second part is empty for
            one that is not there.
        digest: a keyed hash of all names and values; "" when only versions are known, after a restart.
    """

    versions: tuple[str, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """`hidden` are the names whose values come from a Secret."""

    values: Mapping[str, str] = field(repr=False)
    hidden: frozenset[str]
    known: Known


class _Meta(msgspec.Struct, rename="camel"):
    uid: str = ""
    resource_version: str = ""


class _Config(msgspec.Struct):
    metadata: _Meta
    data: dict[str, str] | None = None


_config = msgspec.json.Decoder(_Config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads variables.

    Attributes:
        key: of the hash, random and of this process.
        watched: the version of an object that a watch shows, `uid/resourceVersion`; None if none does.
    """

    client: Client
    key: bytes = field(repr=False)
    watched: Callable[[Key], str | None]

    async def read(self, obj: Kustomization) -> Variables:
        """The variables of `obj` as they are now; of two with one name the later counts, and the spec's own
        last.

        Raises:
            SourceUnreadable: an object is not there and not optional, may not be read, or says too much.
            Unreachable, ServerError, Unauthorized, TooManyRequests: the API server is not there.
        """
        values: dict[str, str] = {}
        hidden: set[str] = set()
        versions: list[str] = []
        count = chars = 0
        post_build = obj.spec.post_build
        assert post_build is not None  # noqa: S101  # nobody asks otherwise
        for ref in _refs(post_build.substitute_from):
            config = await self._config(obj.metadata.namespace, ref)
            said = config.data or {} if config is not None else {}
            count, chars = count + len(said), chars + sum(map(len, said.values()))
            if count > MOST_VARIABLES or chars > MOST_CHARS:
                limit = f"{MOST_VARIABLES} variables and {MOST_CHARS >> 20} MiB"
                told = f"with it, substituteFrom brings more than {limit}; take those that are needed"
                raise SourceUnreadable(_told(ref, told))
            data = _data(ref, said)
            values |= data
            hidden = hidden | set(data) if ref.kind == "Secret" else hidden - set(data)
            versions.append(f"{ref.kind}/{ref.name} {_version(config)}")
        inline = post_build.substitute
        values |= {name: value.translate(_LINE_ENDS) for name, value in inline.items()}
        known = Known(tuple(versions), self._digest(values))
        return Variables(values=values, hidden=frozenset(hidden - set(inline)), known=known)

    def seen(self, obj: Kustomization) -> tuple[str, ...] | None:
        """The versions that `read` would find, as far as watches show all of them; else None."""
        versions: list[str] = []
        for ref in _refs(obj.spec.post_build.substitute_from if obj.spec.post_build else ()):
            version = self.watched(obj.beside(ref.kind, ref.name))
            if version is None:
                return None
            versions.append(f"{ref.kind}/{ref.name} {version}")
        return tuple(versions)

    async def _config(self, namespace: str, ref: SubstituteFrom) -> _Config | None:
        try:
            path = RESOURCES[ref.kind].path(namespace, ref.name)
            return _config.decode(await self.client.request("GET", path))
        except errors.NotFound as error:
            if ref.optional:
                return None
            raise SourceUnreadable(_told(ref, error)) from error
        except (errors.ApiError, UnsafeName) as error:
            if isinstance(error, errors.ABSENT):
                raise
            raise SourceUnreadable(_told(ref, error)) from error

    def _digest(self, values: Mapping[str, str]) -> str:
        content = msgspec.json.encode(dict(values), order="deterministic")
        return hashlib.blake2b(content, key=self.key, digest_size=32).hexdigest()


def _refs(listed: Sequence[SubstituteFrom]) -> list[SubstituteFrom]:
    """Each object once, in its last place, the one that counts; optional if it is so in all places."""
    refs: dict[tuple[str, str], SubstituteFrom] = {}
    for ref in listed:
        before = refs.pop((ref.kind, ref.name), ref)
        refs[ref.kind, ref.name] = ref if before.optional else before
    return list(refs.values())


def _told(ref: SubstituteFrom, error: Exception | str) -> str:
    return f"substitute from '{ref.kind}/{ref.name}' error: {error}"


def _version(config: _Config | None) -> str:
    return f"{config.metadata.uid}/{config.metadata.resource_version}" if config is not None else ""


def _data(ref: SubstituteFrom, said: Mapping[str, str]) -> dict[str, str]:
    if ref.kind == "Secret":
        # What is no text may still lie in the Secret, as long as nobody puts it into a manifest.
        said = {name: base64.b64decode(value).decode(errors="replace") for name, value in said.items()}
    return {name: value.translate(_LINE_ENDS) for name, value in said.items()}
