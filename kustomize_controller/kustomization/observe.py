"""What a run looks at before it decides: source, dependencies, what is built. Nothing here writes.

What is missing, and what cannot be fetched or built, gets the contract's reason and its place in the queue
here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import msgspec

from kustomize_controller.kustomization import depend, express, report
from kustomize_controller.kustomization.build import BuildError, BuiltObject, PathNotFound
from kustomize_controller.kustomization.decide import Observed
from kustomize_controller.kustomization.names import ALLOW_PRUNE
from kustomize_controller.kustomization.prepare import Prepared
from kustomize_controller.kustomization.wake import Dependents
from kustomize_controller.kustomization.world import World, recorded
from kustomize_controller.unpack import UnpackFailed
from shared.api.artifact import Artifact
from shared.api.duration import go_duration
from shared.api.kinds import KUSTOMIZATION
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import ObjectId
from shared.artifacts.fetch import ArtifactMissing, FetchError
from shared.kube import errors
from shared.kube.discovery import Resource, UnsafeName
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Event, ReconcileError, Retryable, Waiting
from shared.runtime.queue import Priority

_KUSTOMIZATIONS = Resource(
    KUSTOMIZATION.group, KUSTOMIZATION.version, KUSTOMIZATION.kind, KUSTOMIZATION.plural, namespaced=True
)


def source_artifact(world: World, obj: Kustomization) -> Artifact:
    """What the source published last.

    Raises:
        Waiting: there is no source, or it has nothing yet.
    """
    key = obj.source
    sources = world.sources[key.kind]
    if not sources.exists(key):
        told = f'{key.kind}.{sources.kind.group} "{key.name}" not found'
        raise Waiting("ArtifactFailed", told, on=key, events=(), retry_s=obj.spec.retry_interval_s)
    artifact = sources.artifact(key)
    if artifact is None:
        told = f"Source artifact not found, retrying in {_wait(world)}"
        raise Waiting("ArtifactFailed", told, on=key, events=())
    return artifact


async def dependencies(world: World, obj: Kustomization, artifact: Artifact, waits: Dependents) -> None:
    """See that every dependency is ready; if one is not, a change of any of them starts the next run.

    Raises:
        Waiting: on the first that is not ready, or for good if they wait for each other in a ring.
        Stalled: an expression cannot be read.
        Retryable: there is nobody to evaluate it.
    """
    if not obj.spec.depends_on:
        return
    missing = await _first_not_ready(world, obj, artifact)
    if missing is None:
        return
    if isinstance(missing, ReconcileError):
        raise missing
    waits.wait(obj.key, on=obj.dependencies)
    expressed = [
        key for key, one in zip(obj.dependencies, obj.spec.depends_on, strict=True) if one.ready_expr
    ]
    waits.wait(obj.key, on=expressed, for_anything=True)
    for key in missing.ring:
        member = world.neighbour(key)
        ready = member.status.condition("Ready") if member is not None else None
        if ready is not None and ready.status == "True":  # it was ready before the ring was closed
            world.enqueue(key, f"{obj.key} closes a ring of dependencies", Priority.CHANGE)
    told = f"Dependencies do not meet ready condition, retrying in {_wait(world)}"
    event = Event("Normal", "DependencyNotReady", told, report.metadata(artifact))
    raise Waiting("DependencyNotReady", missing.message, on=missing.on, events=(event,))


async def _first_not_ready(
    world: World, obj: Kustomization, artifact: Artifact
) -> depend.NotReady | ReconcileError | None:
    """See `depend.first_not_ready`. What our watch does not show, for it belongs to another shard or is not
    in the only namespace that we watch, is asked for; nobody wakes us for its sake but the timer.
    """
    asked: dict[Key, RawObject] = {}
    for key in obj.dependencies:
        if world.lookup(key) is None:
            try:
                found = await world.client.request("GET", _KUSTOMIZATIONS.path(key.namespace, key.name))
            except errors.NotFound:
                continue
            except (errors.KubeError, UnsafeName) as error:
                return depend.NotReady(key, f"dependency '{key.namespace}/{key.name}' not found: {error}")
            asked[key] = msgspec.json.decode(found)
    if asked:
        world = replace(world, lookup=partial(_look_up, world.lookup, asked))
    expressed = await express.readiness(world, obj)
    return depend.first_not_ready(
        obj, world.neighbour, artifact.revision, expressed, additive=world.settings.additive_ready_expr
    )


def _look_up(
    watched: Callable[[Key], RawObject | None], asked: Mapping[Key, RawObject], key: Key
) -> RawObject | None:
    return watched(key) or asked.get(key)


async def prepare(
    world: World, obj: Kustomization, artifact: Artifact, building: Callable[[], None], *, fresh: bool
) -> Prepared:
    """What the artifact builds to; `building` is called once the files are there and a build is needed.

    Args:
        fresh: read variables anew, whatever a watch shows of them.

    Raises:
        Waiting: the artifact is gone; its source will name another.
        Retryable: it cannot be fetched, unpacked or built.
    """
    with _mapped(world, obj, artifact):
        return await world.preparer.prepare(obj, artifact, building, fresh=fresh)


async def bodies(world: World, obj: Kustomization, artifact: Artifact) -> Mapping[ObjectId, BuiltObject]:
    """The content of what `prepare` gave, built again if it was dropped meanwhile. Raises as `prepare`
    does."""
    with _mapped(world, obj, artifact):
        return await world.preparer.bodies(obj, artifact)


@contextmanager
def _mapped(world: World, obj: Kustomization, artifact: Artifact) -> Iterator[None]:
    """The one place where failures to fetch, unpack and build get the contract's reasons."""
    retry_s = obj.spec.retry_interval_s
    try:
        yield
    except ArtifactMissing as error:
        told = f"Source is not ready, artifact not found, retrying in {_wait(world)}"
        raise Waiting("ArtifactFailed", told, on=obj.source, events=()) from error
    except (FetchError, UnpackFailed) as error:
        raise Retryable("ArtifactFailed", str(error), retry_s=retry_s) from error
    except PathNotFound as error:
        raise Retryable("ArtifactFailed", error.message, retry_s=retry_s) from error
    except BuildError as error:
        attempted = {"lastAttemptedRevision": artifact.revision}
        raise Retryable(error.reason, error.message, status=attempted, retry_s=retry_s) from error


def observed(
    world: World,
    obj: Kustomization,
    artifact: Artifact,
    prepared: Prepared,
    *,
    drifted: Collection[ObjectId],
    taken: Mapping[ObjectId, Key],
    requested: bool,
) -> Observed:
    """All that `decide` may look at."""
    return Observed(
        desired=prepared.desired,
        applied=world.memory.digests(obj.key),
        drifted=frozenset(drifted),
        inventory=recorded(obj),
        everything=requested,
        prune=obj.spec.prune,
        released=obj.metadata.annotations.get(ALLOW_PRUNE, ""),
        revision=artifact.revision,
        taken=taken,
    )


def _wait(world: World) -> str:
    return go_duration(world.settings.requeue_dependency_s)
