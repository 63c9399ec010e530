"""What a build yields: objects, what they depend on, or why there are none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.api.objects import ObjectId
from shared.runtime.redact import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kustomize_controller.kustomization.inputs import Inputs

__all__ = ["Build", "BuildError", "BuiltObject", "PathNotFound"]


class BuildError(Exception):
    """A source that cannot be built. Building the same inputs again gives the same, except after a kill.

    Attributes:
        reason: the Ready condition's.
        message: the contract's prefix, then what and where; no content of files, no folder of ours.
        inputs: what the failure depends on; None if that is not known (a kill, a crash).
        file, line: the place in the source; "" and 0 where unknown.
        position: of the text that is to blame, counted from 1, when texts were finished; else 0.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        inputs: Inputs | None = None,
        file: str = "",
        line: int = 0,
        position: int = 0,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.inputs = inputs
        self.file = file
        self.line = line
        self.position = position


class PathNotFound(BuildError):
    """spec.path is not a folder of the artifact: ArtifactFailed, not BuildFailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltObject:
    """One object as it is to be applied.

    Attributes:
        body: canonical JSON (sorted keys), or, of a build with `text`, YAML.
        digest: `sha256:<hex>` of body and `ignored`; a keyed hash of them where there are `secrets`.
        steering: what tells us how to treat it: name below `kustomize.toolkit.fluxcd.io/` -> values of the
            label and annotation of that name. Owner labels as given are left out.
        origin: file that defines it, relative to the artifact's root; "" where unknown.
        ignored: JSON pointers to fields that others may change (`spec.ignore`).
        secrets: what variables from Secrets became in it; for masking, not for showing.
    """

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    body: bytes = field(repr=False)
    digest: str
    steering: Mapping[str, tuple[str, ...]]
    origin: str
    ignored: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` of the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def id(self) -> ObjectId:
        """Without the version, as the inventory counts objects."""
        return ObjectId(self.group, self.kind, self.namespace, self.name)

    def says(self, name: str, value: str) -> bool:
        """Whether the label or annotation `name` has `value`, whatever the case (the contract, 7.4)."""
        return any(said.lower() == value.lower() for said in self.steering.get(name, ()))

    def without_secrets(self, text: str) -> str:
        """What an API server says of this object, masked.

        The redactor at the exits knows these values too, but lets short ones through, which an API server
        quotes when it refuses a field.
        """
        for secret in sorted((each for each in self.secrets if each in text), key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A finished build.

    Attributes:
        objects: in the order in which kustomize gives them; stages are the apply's.
        inputs: what the build depends on; None: on the whole artifact.
        digest: of the built content without labels and commonMetadata, for status.history.
        left_out: a line for each field that an object's type does not have: object, path, file and line; no
            values.
        warnings: for people.
    """

    objects: tuple[BuiltObject, ...]
    inputs: Inputs | None
    digest: str
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
