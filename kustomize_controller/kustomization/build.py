"""Build a Kustomization's manifests with the warm engine (tools/engine; its protocol.go documents the wire).

All tenants share the engine's processes, and a source may be hostile, so builds are kept in lanes: two
processes for everybody, of which a namespace takes one at a time; one for namespaces that lately ran out of
time or took their process down, so that nobody waits behind them; one for sources that bring an OpenAPI
schema, which costs the engine a new parse of its own afterwards. A build that exceeds its time or memory is
killed with its process.

With `--kustomize-binary` each of these processes lets the stock binary build, in a process of the same group.

This module starts processes and hands bytes on. What a build depends on is `inputs`' subject; decryption,
substitution and apply order are their own steps; the results are values of `built`, named here too.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from kustomize_controller.kustomization.built import Build, BuildError, BuiltObject, PathNotFound
from kustomize_controller.kustomization.inputs import Inputs
from shared.runtime.child import Child, ChildDied, ChildError, ChildTimeout, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from kustomize_controller.kustomize_binary import KustomizeBinary
    from shared.api.kustomization import KustomizationSpec

__all__ = ["Build", "BuildError", "Builder", "BuiltObject", "Limits", "Order", "PathNotFound", "spec_digest"]

PROTOCOL = 1
SLOW_FOR_S = 600.0  # a guess: long enough that a source that hangs at every commit stays out of the way

# The spec fields that shape a build, under their names in the API and in the engine's protocol.
_SHAPING = (
    "targetNamespace",
    "namePrefix",
    "nameSuffix",
    "patches",
    "images",
    "components",
    "ignoreMissingComponents",
    "buildMetadata",
    "commonMetadata",
    "ignore",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one build may take. Zero objects or bytes: unlimited."""

    objects: int = 5_000
    built_bytes: int = 64 << 20  # of all objects' JSON together
    memory_bytes: int = 1 << 30  # of one engine process
    time_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One build to be done.

    Attributes:
        namespace: of the Kustomization; the unit of fairness.
        root: the folder of the unpacked artifact.
        spec: the Kustomization's.
        labels: owner labels for every object.
        overrides: file name relative to root -> content to use instead, such as a decrypted file's.
        text: give YAML text without labels and commonMetadata, for a step that substitutes or decrypts
            objects and hands them to `Builder.finish`.
    """

    namespace: str
    root: Path
    spec: KustomizationSpec
    labels: Mapping[str, str]
    overrides: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    text: bool = False


class _Inputs(msgspec.Struct):
    reads: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()

    def value(self) -> Inputs:
        return Inputs(self.reads, self.lists, self.misses)


class _Object(msgspec.Struct):
    group: str
    version: str
    kind: str
    namespace: str
    name: str
    digest: str
    steering: dict[str, tuple[str, ...]]
    origin: str = ""
    ignore: tuple[str, ...] = ()
    body: msgspec.Raw = msgspec.Raw(b"")
    text: str = ""

    def value(self) -> BuiltObject:
        return BuiltObject(
            group=self.group,
            version=self.version,
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            body=self.text.encode() if self.text else bytes(self.body),
            digest=_with_ignored(self.digest, self.ignore),
            steering=self.steering,
            origin=self.origin,
            ignored=self.ignore,
        )


class _Answer(msgspec.Struct):
    objects: tuple[_Object, ...]
    digest: str
    inputs: _Inputs
    left_out: tuple[str, ...] = msgspec.field(default=(), name="leftOut")
    warnings: tuple[str, ...] = ()
    openapi: bool = False

    def value(self) -> Build:
        return Build(
            objects=tuple(each.value() for each in self.objects),
            inputs=self.inputs.value(),
            digest=self.digest,
            left_out=self.left_out,
            warnings=self.warnings,
        )


class _Hello(msgspec.Struct):
    protocol: int
    engine: str


_answers = msgspec.json.Decoder(_Answer)


def spec_digest(spec: KustomizationSpec, labels: Mapping[str, str]) -> str:
    """`sha256:<hex>` of what a Kustomization itself adds to its build; see `inputs.build_key`."""
    said = [spec.path, _shaping(spec), dict(labels), spec.post_build]
    content = msgspec.json.encode(said, order="deterministic")
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _with_ignored(digest: str, ignored: Sequence[str]) -> str:
    """Who stops to ignore a field wants it put back, so that is another content."""
    if not ignored:
        return digest
    return "sha256:" + hashlib.sha256("\n".join([digest, *ignored]).encode()).hexdigest()


def _shaping(spec: KustomizationSpec) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(spec)
    return {name: fields[name] for name in _SHAPING if name in fields}


class Builder:
    """Builds with the engine. Processes start with the first build that needs them; `close` ends them.

    Args:
        engine: the engine's program.
        limits: of each build.
        clock: monotonic seconds.
        binary: builds in the place of the engine's own kustomize.

    Attributes:
        children: the engine's processes, for metrics and logs.
    """

    def __init__(
        self,
        engine: Path,
        *,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        binary: KustomizeBinary | None = None,
    ) -> None:
        self._engine = engine
        self._binary = binary
        self._limits = limits
        self._clock = clock
        everybody = [self._child("build engine 1"), self._child("build engine 2")]
        self._shared = Pool(everybody)
        self._slow = self._child("build engine for slow sources")
        self._schema = self._child("build engine for sources with a schema")
        self.children = (*everybody, self._slow, self._schema)
        self._turns = _Turns()
        self._slow_until: dict[str, float] = {}
        self._with_schema: set[tuple[str, str]] = set()
        self._version: str | None = None

    async def version(self) -> str:
        """The engine's version, which enters build keys.

        Raises:
            BuildError: the program is not there, or speaks another protocol.
        """
        if self._version is None:
            try:
                answer = await self._shared.call("hello", {}, timeout_s=self._limits.time_s)
            except (ChildTimeout, ChildDied, ChildError, OSError) as error:
                raise BuildError("BuildFailed", f"build engine does not start: {error}") from error
            hello = msgspec.json.decode(answer, type=_Hello)
            if hello.protocol != PROTOCOL:
                said = f"build engine speaks protocol {hello.protocol}, not {PROTOCOL}"
                raise BuildError("BuildFailed", f"{said}; install the one of this release")
            self._version = hello.engine
        return self._version

    async def build(self, order: Order) -> Build:
        """Build one Kustomization. A cancelled build is killed.

        Raises:
            PathNotFound: the artifact has no folder spec.path.
            BuildError: anything else.
        """
        args = {
            "root": str(order.root),
            "path": order.spec.path,
            "spec": _shaping(order.spec),
            "labels": dict(order.labels),
            "overrides": {
                name: base64.b64encode(content).decode() for name, content in order.overrides.items()
            },
            "limits": self._limit_args(),
            "text": order.text,
        }
        source = (order.namespace, order.spec.path)
        answer = _answers.decode(await self._call("build", args, source))
        if answer.openapi:
            self._with_schema.add(source)
        return answer.value()

    async def finish(self, order: Order, texts: Sequence[str], origins: Sequence[str] = ()) -> Build:
        """Make final objects of YAML texts, one object each, with what `order` sets on objects.

        The result has no inputs: the caller knows them. `origins`, the files that the texts come from, say
        where to look for the line of a field that is left out.

        Raises:
            BuildError: a text is not one object, or two are the same; `position` says which.
        """
        shaping = _shaping(order.spec)
        args = {
            "texts": list(texts),
            "root": str(order.root),
            "origins": list(origins),
            "commonMetadata": shaping.get("commonMetadata") or {},
            "ignore": shaping.get("ignore") or [],
            "labels": dict(order.labels),
            "limits": self._limit_args(),
        }
        answer = _answers.decode(await self._call("finish", args, (order.namespace, ""))).value()
        return replace(answer, inputs=None)

    async def close(self) -> None:
        """End the engine's processes."""
        for child in self.children:
            await child.close()

    def _child(self, name: str) -> Child:
        # An empty PATH: the engine has nothing to start. A build's garbage is short-lived: collecting it a
        # third as often takes a third off the CPU of a build, for 12 MB more in each process.
        env = {"PATH": "/nonexistent", "GOGC": "300"}
        argv = [str(self._engine), *(self._binary.arguments(name) if self._binary is not None else ())]
        return Child(argv, name=name, env=env, memory_limit_bytes=self._limits.memory_bytes)

    def _limit_args(self) -> dict[str, int]:
        return {"objects": self._limits.objects, "bytes": self._limits.built_bytes}

    def _lane(self, source: tuple[str, str]) -> Child | Pool:
        if self._slow_until.get(source[0], 0.0) > self._clock():
            return self._slow
        self._slow_until.pop(source[0], None)
        return self._schema if source in self._with_schema else self._shared

    async def _call(self, op: str, args: Mapping[str, Any], source: tuple[str, str]) -> msgspec.Raw:
        async with self._turns.of(source[0]):
            try:
                return await self._lane(source).call(op, args, timeout_s=self._limits.time_s)
            except ChildTimeout as error:
                self._slow_until[source[0]] = self._clock() + SLOW_FOR_S
                raise BuildError("BuildFailed", f"build exceeded {self._limits.time_s:g}s") from error
            except ChildDied as error:
                # Whatever it was, it may do it again: not in the company of others, and not at once.
                self._slow_until[source[0]] = self._clock() + SLOW_FOR_S
                raise BuildError("BuildFailed", f"kustomize build failed: {error}") from error
            except ChildError as error:
                if error.details.get("openapi"):
                    self._with_schema.add(source)
                raise _build_error(error) from error
            except OSError as error:
                raise BuildError("BuildFailed", f"build engine does not start: {error.strerror}") from error
            finally:
                if self._binary is not None:
                    self._binary.discard(child.name for child in self.children if child.pid is None)


def _build_error(error: ChildError) -> BuildError:
    details = error.details
    inputs = msgspec.convert(details["inputs"], _Inputs).value() if details.get("inputs") else None
    if error.reason == "PathNotFound":
        return PathNotFound("ArtifactFailed", error.message, inputs=inputs)
    return BuildError(
        error.reason,
        error.message,
        inputs=inputs,
        file=details.get("file", ""),
        line=details.get("line", 0),
        position=details.get("position", 0),
    )


class _Turns:
    """One lock per namespace, kept only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def of(self, namespace: str) -> _Turn:
        return _Turn(self._locks, namespace)


@dataclass(slots=True)
class _Turn:
    locks: dict[str, tuple[asyncio.Lock, int]]
    namespace: str

    async def __aenter__(self) -> None:
        lock, users = self.locks.get(self.namespace, (asyncio.Lock(), 0))
        self.locks[self.namespace] = (lock, users + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.locks[self.namespace][0].release()
        self._leave()

    def _leave(self) -> None:
        lock, users = self.locks.pop(self.namespace)
        if users > 1:
            self.locks[self.namespace] = (lock, users - 1)
