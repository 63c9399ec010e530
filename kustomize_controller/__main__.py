"""Start the kustomize controller: settings → reconciler → runtime."""

import os
import secrets
import sys
from functools import partial

import aiohttp
import structlog

from kustomize_controller import settings as settings_module
from kustomize_controller.kustomization.arrivals import Arrivals
from kustomize_controller.kustomization.build import Builder, Limits
from kustomize_controller.kustomization.checkpoint import Checkpoints
from kustomize_controller.kustomization.configs import Configs
from kustomize_controller.kustomization.contact import Contact
from kustomize_controller.kustomization.drift import Follower
from kustomize_controller.kustomization.health.expressions import Expressions
from kustomize_controller.kustomization.health.look import Looker
from kustomize_controller.kustomization.health.waits import Waits
from kustomize_controller.kustomization.prepare import Preparer
from kustomize_controller.kustomization.reconcile import KustomizationReconciler
from kustomize_controller.kustomization.remember import Memory
from kustomize_controller.kustomization.restore import cluster_identity, restore
from kustomize_controller.kustomization.substitute import Substituter
from kustomize_controller.kustomization.variables import Reader
from kustomize_controller.kustomization.wake import Waker
from kustomize_controller.kustomization.world import World
from kustomize_controller.kustomize_binary import KustomizeBinary, version_of
from kustomize_controller.settings import Settings
from kustomize_controller.sources import Sources
from kustomize_controller.unpack import Unpacker
from shared.api.kinds import GIT_REPOSITORY
from shared.artifacts.cache import ArtifactCache
from shared.artifacts.fetch import Download, fetch
from shared.runtime import own_folder, process

NAME = "kustomize-controller"
GRACE_S = 10.0  # what is applied at one go takes less; a longer wait is another run's
log = structlog.get_logger("setup")


async def assemble(settings: Settings, setting: process.Setting) -> process.Parts:
    """Put the controller together; nothing runs yet."""
    own_folder.claim(settings.made_up)
    binary = await _kustomize_binary(settings)
    session = aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=120, sock_read=30))
    unpacker = Unpacker(limit_bytes=settings.artifact_max_bytes)

    async def download(url: str, digest: str, into: "os.PathLike[str]") -> None:
        order = Download(
            url=url, digest=digest, limit_bytes=settings.artifact_max_bytes, attempts=settings.http_attempts
        )
        await fetch(session, order, into)  # type: ignore[arg-type]  # the cache hands over a Path

    artifacts = ArtifactCache(
        settings.cache_path, limit_bytes=settings.cache_max_bytes, fetch=download, unpack=unpacker.unpack
    )
    limits = Limits(objects=settings.max_objects, time_s=settings.build_timeout_s)
    builder = Builder(settings.engine, limits=limits, binary=binary)
    waker = Waker()
    configs = Configs(
        setting.client, settings.config_selector, settings.config_namespace, waker.config_changed
    )
    key = secrets.token_bytes(32)
    substituter = Substituter(
        builder=builder,
        reader=Reader(client=setting.client, key=key, watched=configs.version),
        strict=settings.strict_substitutions,
        key=key,
    )
    preparer = Preparer(artifacts, builder, substituter, hosts=settings.artifact_hosts)
    memory = Memory()
    sources = Sources(GIT_REPOSITORY, waker.source_changed)
    expressions = Expressions(settings.engine)
    looker = Looker(client=setting.client, discovery=setting.discovery, expressions=expressions)
    waits = Waits(looker, wake=waker.health_known)
    follower = Follower(setting.client, setting.discovery, memory, wake=waker.drifted, onlooker=waits)
    arrivals = Arrivals(setting.client, setting.discovery, wake=waker.arrived)
    checkpoints = Checkpoints(settings.state_path)
    reconciler = KustomizationReconciler(
        World(
            settings=settings,
            client=setting.client,
            discovery=setting.discovery,
            sources={GIT_REPOSITORY.kind: sources},
            preparer=preparer,
            memory=memory,
            follower=follower,
            arrivals=arrivals,
            contact=Contact(setting.client),
            expressions=expressions,
            waits=waits,
            checkpoints=checkpoints,
            lookup=waker.lookup,
            of_source=waker.of_source,
            enqueue=waker.enqueue,
            held=setting.held,
            tell=waker.tell,
        )
    )
    controller = setting.controller(reconciler)
    waker.connect(controller, preparer, {GIT_REPOSITORY.kind: sources})

    async def recall() -> None:
        """Before the first run: what the last process knew."""
        checkpoints.begin(await cluster_identity(setting.client))
        objects = [raw for key in controller.cache.keys() if (raw := controller.cache.get(key)) is not None]  # noqa: SIM118
        await restore(checkpoints, objects, memory, follower, reconciler)
        configs.start()
        if not setting.flags["watch-label-selector"]:  # else the files of other shards may lie there
            checkpoints.keep_only(raw["metadata"]["uid"] for raw in objects)

    async def returned() -> str:
        known = checkpoints.cluster
        now = await cluster_identity(setting.client) if known else ""
        if now == known or not now:
            return ""
        return f"the API server answers for another cluster (kube-system has UID {now}, it had {known})"

    return process.Parts(
        controllers=[controller],
        lead=recall,
        grace_s=GRACE_S,
        returned=returned,
        sinks=[(GIT_REPOSITORY, sources)],
        close=(
            configs.close,
            arrivals.close,
            follower.close,
            waits.close,
            builder.close,
            unpacker.close,
            artifacts.close,
            session.close,
        ),
    )


async def _kustomize_binary(settings: Settings) -> KustomizeBinary | None:
    program = settings.kustomize_binary
    if program is None:
        return None
    version = await version_of(program)
    log.info(
        "the stock kustomize binary builds: it can reach the network and is slower than the engine",
        binary=str(program),
        version=version,
    )
    # Beside unpacked artifacts, in a folder that is emptied at each start.
    return KustomizeBinary(program=program, copies=settings.cache_path / "copies")


def main() -> int:
    settings = settings_module.read(sys.argv[1:], os.environ)
    return process.main(NAME, settings.flags, settings.unheeded, partial(assemble, settings))


if __name__ == "__main__":
    sys.exit(main())
