"""Building with variables: build, put the variables into each object's text, read the texts again.

    engine: build as texts ► each text that wants it: expand ► engine: finish
                                   │
                  variables, read once a build, and only if an object wants them

An object says `kustomize.toolkit.fluxcd.io/substitute: disabled` to be left as it is. What an object is
called, and what it is, changes only where its own text has a variable at that very place: whoever may write a
ConfigMap must not be able to turn an object into another one (reliability A11).

An object that holds a value of a Secret is known by a keyed hash from here on, and the whole build, for
status.history, by what went into it, since a plain hash of a short secret can be guessed.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from kustomize_controller.kustomization.build import Builder, Order
from kustomize_controller.kustomization.built import Build, BuildError, BuiltObject
from kustomize_controller.kustomization.names import SUBSTITUTE
from kustomize_controller.kustomization.variables import Known, Reader, SourceUnreadable, Variables
from kustomize_controller.substitution.expand import Budget, Expander, ExpandError
from shared.api.kustomization import Kustomization
from shared.runtime import redact

__all__ = ["Substituter", "check_same"]

_NAME = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")
_PATTERN = "^[_[:alpha:]][_[:alpha:][:digit:]]*$"  # of the message, as the contract spells it

MOST_SECRETS = 5_000  # different texts with values of Secrets in one build; the redactor knows no more
YIELD_CHARS = 256 << 10  # of text between two turns of the event loop, some 10 ms


@dataclass(frozen=True, slots=True)
class _Text:
    """An object's text, and what values of Secrets became in it."""

    text: str = field(repr=False)
    shown: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Substituter:
    """Builds Kustomizations that have a `spec.postBuild`.

    Attributes:
        strict: the feature gate StrictPostBuildSubstitutions.
        key: of hashes, random and of this process.
    """

    builder: Builder
    reader: Reader
    strict: bool
    key: bytes = field(repr=False)

    async def build(self, obj: Kustomization, order: Order) -> tuple[Build, Known | None]:
        """The build with variables, and which they were; None if no object wanted any.

        Raises:
            BuildError: as `Builder.build`; or an object cannot be substituted: it is named, values are not.
            Unreachable, ServerError, Unauthorized, TooManyRequests: variables cannot be read now.
        """
        texts = await self.builder.build(replace(order, text=True))
        wanting = [at for at, one in enumerate(texts.objects) if not _opts_out(one)]
        expanded = [_Text(one.body.decode()) for one in texts.objects]
        variables: Variables | None = None
        if wanting:
            variables = await self._variables(obj, texts.objects[wanting[0]])
            if variables.values or _is_always(obj):
                await self._expand(obj, texts.objects, wanting, variables, expanded)
        built = await self._finish(order, texts.objects, expanded)
        return self._conclude(obj, texts, expanded, built, variables)

    async def stands(self, obj: Kustomization, known: Known, *, fresh: bool) -> Known | None:
        """The variables of `obj` as they are known now, if they are the ones that are `known`; else None.

        Args:
            fresh: read them, whatever a watch shows.

        Raises:
            Unreachable, ServerError, Unauthorized, TooManyRequests: they cannot be read now.
        """
        if not fresh and self.reader.seen(obj) == known.versions:
            return known
        try:
            now = (await self.reader.read(obj)).known
        except SourceUnreadable:
            return None  # the build that follows says so, and of which object
        return now if known.versions == now.versions or known.digest == now.digest else None

    async def _variables(self, obj: Kustomization, first: BuiltObject) -> Variables:
        try:
            variables = await self.reader.read(obj)
        except SourceUnreadable as error:
            raise _failed(first, str(error)) from error
        for name in sorted(variables.values):
            if not _NAME.fullmatch(name):
                told = f"envsubst error: '{name}' var name is invalid, must match '{_PATTERN}'"
                raise _failed(first, told)
        return variables

    async def _expand(
        self,
        obj: Kustomization,
        objects: Sequence[BuiltObject],
        wanting: Sequence[int],
        variables: Variables,
        expanded: list[_Text],
    ) -> None:
        """Put the variables into the texts at the places `wanting`."""
        budget = Budget()
        secrets: set[str] = set()
        since = 0
        for at in wanting:
            before = expanded[at].text
            if "$" not in before:
                continue
            expander = Expander(variables.values, variables.hidden, strict=self.strict, budget=budget)
            try:
                after = expander.expand(before)
            except ExpandError as error:
                told = f"envsubst error: variable substitution failed: {error}"
                raise _failed(objects[at], told) from error
            new = expander.shown.union(variables.values[name] for name in expander.hidden_read) - secrets
            secrets |= new
            if len(secrets) > MOST_SECRETS:
                told = f"values of Secrets became more than {MOST_SECRETS} different texts; use fewer"
                raise _failed(objects[at], f"envsubst error: {told}")
            await redact.register_all(new, obj.metadata.namespace)
            expanded[at] = _Text(after, frozenset(expander.shown))
            since += len(before) + len(after)
            if since > YIELD_CHARS:
                since = 0
                await asyncio.sleep(0)

    async def _finish(self, order: Order, objects: Sequence[BuiltObject], expanded: Sequence[_Text]) -> Build:
        try:
            texts, origins = [one.text for one in expanded], [one.origin for one in objects]
            built = await self.builder.finish(order, texts, origins)
        except BuildError as error:
            if not 0 < error.position <= len(objects):
                raise
            told = f"envsubst error: after substitution it cannot be read: {error.message}"
            raise _failed(objects[error.position - 1], told) from error
        if len(built.objects) != len(objects):
            told = "a variable turned an object into a list, or into nothing; write out what it is"
            raise BuildError("BuildFailed", f"post build failed: {told}")
        for before, after in zip(objects, built.objects, strict=True):
            check_same(before, after)
        return built

    def _conclude(
        self,
        obj: Kustomization,
        texts: Build,
        expanded: Sequence[_Text],
        built: Build,
        variables: Variables | None,
    ) -> tuple[Build, Known | None]:
        objects = tuple(
            self._known_by_key(replace(after, origin=before.origin), text.shown)
            for before, after, text in zip(texts.objects, built.objects, expanded, strict=True)
        )
        known = variables.known if variables is not None else None
        digest = built.digest
        if known is not None and any(text.shown for text in expanded):
            went_in = [texts.digest, known.versions, obj.spec.post_build]
            content = msgspec.json.encode(went_in, order="deterministic")
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
        return (
            replace(
                built,
                objects=objects,
                digest=digest,
                inputs=texts.inputs,
                left_out=texts.left_out + without_values(built.left_out, (one.shown for one in expanded)),
                warnings=texts.warnings + built.warnings,
            ),
            known,
        )

    def _known_by_key(self, one: BuiltObject, shown: frozenset[str]) -> BuiltObject:
        if not shown:
            return one
        digest = "keyed:" + hashlib.blake2b(one.digest.encode(), key=self.key, digest_size=32).hexdigest()
        return replace(one, digest=digest, secrets=shown)


def without_values(lines: Sequence[str], shown_in: Iterable[frozenset[str]]) -> tuple[str, ...]:
    """The lines that hold no value of a Secret: a variable may stand where a field's name is."""
    shown = frozenset[str]().union(*shown_in)
    return tuple(line for line in lines if not any(value and value in line for value in shown))


def _opts_out(one: BuiltObject) -> bool:
    # In exactly this case, unlike the values of other labels and annotations.
    return "disabled" in one.steering.get(SUBSTITUTE, ())


def _is_always(obj: Kustomization) -> bool:
    return obj.spec.post_build is not None and obj.spec.post_build.substitute_strategy == "Always"


def _failed(one: BuiltObject, told: str) -> BuildError:
    name = f"{one.kind}.{one.version}.{one.group or '[noGrp]'}/{one.name}"
    return BuildError("BuildFailed", f"post build failed for '{name}': {told}")


def check_same(before: BuiltObject, after: BuiltObject) -> None:
    """See that nothing but a variable at that very place changed what an object is, or is called."""
    for field_name in ("group", "version", "kind", "namespace", "name"):
        said = getattr(before, field_name)
        if said != getattr(after, field_name) and "$" not in said:
            told = f"a value of a variable changed its {field_name}; values must not hold YAML of their own"
            raise _failed(before, f"envsubst error: {told}")
