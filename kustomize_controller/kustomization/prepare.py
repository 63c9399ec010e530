"""From an artifact to the objects that a Kustomization wants: fetch once, unpack once, build only what
changed.

What a build gave is kept as a *recipe* (which inputs it had, and the name and digest of every object), so
that a new revision that changed none of the inputs needs no build, and a run that applies nothing needs no
content. The contents themselves are kept as bytes within a limit, and built again when they are wanted and
gone. Of variables that were put in (`substitute`) a recipe knows versions and a keyed hash.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kustomize_controller.artifact_hosts import ArtifactHosts
from kustomize_controller.kustomization.build import Build, Builder, BuiltObject, Order, spec_digest
from kustomize_controller.kustomization.checkpoint import SavedDesired, SavedRecipe
from kustomize_controller.kustomization.decide import Desired
from kustomize_controller.kustomization.inputs import Inputs, build_key, unchanged
from kustomize_controller.kustomization.names import owner_labels
from kustomize_controller.kustomization.substitute import Substituter
from kustomize_controller.kustomization.variables import Known
from shared.api.artifact import Artifact
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.artifacts.cache import ArtifactCache
from shared.artifacts.tree import Tree
from shared.runtime.outcome import Superseded

BODIES_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a Kustomization wants of the cluster.

    Attributes:
        digest: of the built content without owner labels, for status.history.
        left_out, warnings: see `Build`.
    """

    desired: tuple[Desired, ...]
    digest: str
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Outdated(Superseded):
    """What `Preparer.prepare` gave cannot be built any more: prepare again, and decide again."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """`tree` is None after a restart: then `key` tells whether another tree builds to the same. `variables`
    is None when none were put in. `recalled`: from a checkpoint, so that keyed digests are another
    process's."""

    spec_digest: str
    artifact_digest: str
    tree: Tree | None
    inputs: Inputs | None
    key: str
    prepared: Prepared
    variables: Known | None = None
    recalled: bool = False


class Preparer:
    """Builds Kustomizations. Used from one event loop only."""

    def __init__(
        self,
        artifacts: ArtifactCache,
        builder: Builder,
        substituter: Substituter,
        *,
        hosts: ArtifactHosts = ArtifactHosts(),  # noqa: B008  # it is frozen
    ) -> None:
        self._artifacts = artifacts
        self._builder = builder
        self._substituter = substituter
        self._hosts = hosts
        self._recipes: dict[Key, _Recipe] = {}
        self._bodies: OrderedDict[Key, tuple[str, int, Mapping[ObjectId, BuiltObject]]] = OrderedDict()
        self._bodies_bytes = 0

    async def prepare(
        self, obj: Kustomization, artifact: Artifact, building: Callable[[], None], *, fresh: bool = False
    ) -> Prepared:
        """What `obj` wants at this revision.

        Args:
            building: called when the artifact is there and a build begins.
            fresh: read variables anew, even if a watch shows that none changed.

        Raises:
            FetchError, UnpackError: the artifact did not arrive, or is not one.
            PathNotFound, BuildError: it cannot be built.
            Unreachable, ServerError, Unauthorized, TooManyRequests: variables cannot be read now.
        """
        wanted = self._spec_digest(obj)
        recipe = self._recipes.get(obj.key)
        if recipe is not None and (
            recipe.spec_digest != wanted or not await self._variables_stand(obj, recipe, fresh=fresh)
        ):
            recipe = None
        if recipe is not None and recipe.artifact_digest == artifact.digest:
            return recipe.prepared
        async with self._artifacts.open(self._hosts.url(artifact.url), artifact.digest) as content:
            if recipe is not None and await self._same(recipe, content.tree):
                # Not the one from above: its variables may be known anew.
                latest = self._recipes.get(obj.key, recipe)
                recipe = replace(latest, artifact_digest=artifact.digest, tree=content.tree)
            else:
                building()
                built, variables = await self._build(obj, content.folder)
                key = await self._key(built.inputs, content.tree, wanted)
                prepared = _prepared(built)
                self._keep(obj.key, prepared.digest + wanted, built)
                recipe = _Recipe(
                    wanted, artifact.digest, content.tree, built.inputs, key, prepared, variables
                )
            self._recipes[obj.key] = recipe
        return recipe.prepared

    async def stands(self, obj: Kustomization) -> bool:
        """Whether the variables that the last build put in are still what they were.

        Raises:
            Unreachable, ServerError, Unauthorized, TooManyRequests: they cannot be read now.
        """
        recipe = self._recipes.get(obj.key)
        return recipe is not None and await self._variables_stand(obj, recipe, fresh=False)

    async def bodies(self, obj: Kustomization, artifact: Artifact) -> Mapping[ObjectId, BuiltObject]:
        """The content of the objects of the last `prepare`, built again if it was dropped meanwhile.

        Raises:
            As `prepare`. Outdated: variables changed meanwhile, or their digests are those of the process
            before this one. The recipe is forgotten.
        """
        recipe = self._recipes[obj.key]
        name = recipe.prepared.digest + recipe.spec_digest
        kept = self._bodies.get(obj.key)
        if kept is not None and kept[0] == name:
            self._bodies.move_to_end(obj.key)
            return kept[2]
        if recipe.recalled and recipe.variables is not None:
            self._recipes.pop(obj.key, None)
            raise Outdated
        async with self._artifacts.open(self._hosts.url(artifact.url), artifact.digest) as content:
            built, _ = await self._build(obj, content.folder)
        if recipe.variables is not None and _prepared(built).desired != recipe.prepared.desired:
            self._recipes.pop(obj.key, None)
            raise Outdated
        return self._keep(obj.key, name, built)

    async def changed_by(self, artifact: Artifact, keys: Iterable[Key]) -> set[Key]:
        """Which Kustomizations a new artifact may build differently, as far as is known without a build.

        Raises:
            FetchError, UnpackFailed: the artifact did not arrive, or is not one.
        """
        changed = set()
        async with self._artifacts.open(self._hosts.url(artifact.url), artifact.digest) as content:
            for key in keys:
                recipe = self._recipes.get(key)
                if recipe is None or not await self._same(recipe, content.tree):
                    changed.add(key)
        return changed

    def saved(self, key: Key) -> SavedRecipe | None:
        """The recipe, for a checkpoint."""
        recipe = self._recipes.get(key)
        if recipe is None or recipe.inputs is None:
            return None
        return SavedRecipe(
            spec_digest=recipe.spec_digest,
            artifact_digest=recipe.artifact_digest,
            key=recipe.key,
            reads=recipe.inputs.reads,
            lists=recipe.inputs.lists,
            misses=recipe.inputs.misses,
            desired=tuple(SavedDesired.of(one) for one in recipe.prepared.desired),
            digest=recipe.prepared.digest,
            left_out=recipe.prepared.left_out,
            variables=recipe.variables.versions if recipe.variables is not None else None,
        )

    def recall(self, key: Key, saved: SavedRecipe) -> None:
        """Take over a recipe from a checkpoint. Its contents are built when they are wanted."""
        prepared = Prepared(
            desired=tuple(one.desired for one in saved.desired), digest=saved.digest, left_out=saved.left_out
        )
        variables = Known(saved.variables) if saved.variables is not None else None
        self._recipes[key] = _Recipe(
            saved.spec_digest,
            saved.artifact_digest,
            None,
            saved.inputs,
            saved.key,
            prepared,
            variables,
            recalled=True,
        )

    def wants(self, key: Key, artifact: Artifact) -> Collection[ObjectId]:
        """The objects of the last build, if it was of this artifact; else nothing is known, and so nothing
        wanted."""
        recipe = self._recipes.get(key)
        if recipe is None or recipe.artifact_digest != artifact.digest:
            return ()
        return {one.id for one in recipe.prepared.desired}

    def forget(self, key: Key) -> None:
        self._recipes.pop(key, None)
        self._drop(key)

    async def _same(self, recipe: _Recipe, tree: Tree) -> bool:
        """Whether the recipe's build has the same result in `tree`."""
        if recipe.inputs is None:
            return False
        if recipe.tree is not None:
            return recipe.tree is tree or unchanged(recipe.inputs, recipe.tree, tree)
        return await self._key(recipe.inputs, tree, recipe.spec_digest) == recipe.key

    async def _variables_stand(self, obj: Kustomization, recipe: _Recipe, *, fresh: bool) -> bool:
        if recipe.variables is None:
            return True
        now = await self._substituter.stands(obj, recipe.variables, fresh=fresh)
        if now is not None and self._recipes.get(obj.key) is recipe:
            self._recipes[obj.key] = replace(recipe, variables=now)
        return now is not None

    async def _key(self, inputs: Inputs | None, tree: Tree, wanted: str) -> str:
        if inputs is None:
            return ""
        return build_key(inputs, tree, spec_digest=wanted, engine=await self._builder.version())

    def _spec_digest(self, obj: Kustomization) -> str:
        return spec_digest(obj.spec, owner_labels(obj.metadata.name, obj.metadata.namespace))

    async def _build(self, obj: Kustomization, folder: Path) -> tuple[Build, Known | None]:
        order = Order(
            namespace=obj.metadata.namespace,
            root=folder,
            spec=obj.spec,
            labels=owner_labels(obj.metadata.name, obj.metadata.namespace),
        )
        if obj.spec.post_build is not None:
            return await self._substituter.build(obj, order)
        return await self._builder.build(order), None

    def _keep(self, key: Key, name: str, built: Build) -> Mapping[ObjectId, BuiltObject]:
        self._drop(key)
        bodies = {one.id: one for one in built.objects}
        size = sum(len(one.body) for one in built.objects)
        self._bodies[key] = (name, size, bodies)
        self._bodies_bytes += size
        while self._bodies_bytes > BODIES_BYTES and len(self._bodies) > 1:
            self._drop(next(iter(self._bodies)))
        return bodies

    def _drop(self, key: Key) -> None:
        dropped = self._bodies.pop(key, None)
        if dropped is not None:
            self._bodies_bytes -= dropped[1]


def _prepared(built: Build) -> Prepared:
    return Prepared(
        desired=tuple(
            Desired(
                id=one.id,
                version=one.version,
                digest=one.digest,
                left_alone=one.says("ssa", "Ignore") or one.says("reconcile", "disabled"),
            )
            for one in built.objects
        ),
        digest=built.digest,
        left_out=built.left_out,
        warnings=built.warnings,
    )
