"""At the start: believe the checkpoints as far as one list of each kind bears them out."""

import asyncio
from collections.abc import Iterable

import msgspec
import structlog

from kustomize_controller.kustomization.checkpoint import Checkpoints, Saved
from kustomize_controller.kustomization.drift import Follower
from kustomize_controller.kustomization.reconcile import KustomizationReconciler
from kustomize_controller.kustomization.remember import Memory
from shared.kube import errors
from shared.kube.client import METADATA_ONLY, Client
from shared.kube.ownership import PartialObject
from shared.runtime.cache import RawObject

log = structlog.get_logger("runtime")

SYNC_S = 30.0  # for the first lists; what is not confirmed by then is applied again


async def cluster_identity(client: Client) -> str:
    """The UID of kube-system: another one behind the same address is another cluster (reliability F25).

    Waits until the API server answers. Returns "" when we may not read it: then checkpoints are of no use.
    """
    while True:
        try:
            raw = await client.request("GET", "/api/v1/namespaces/kube-system", accept=METADATA_ONLY)
        except (errors.Forbidden, errors.NotFound):
            return ""
        except errors.KubeError as error:
            log.info("cluster not identified", because=str(error))
            await asyncio.sleep(1.0)
            continue
        return msgspec.json.decode(raw, type=PartialObject).metadata.uid


async def restore(
    checkpoints: Checkpoints,
    objects: Iterable[RawObject],
    memory: Memory,
    follower: Follower,
    reconciler: KustomizationReconciler,
) -> None:
    """Fill the memory from the checkpoints of the Kustomizations `objects`, and wait for the first lists.

    After it, what the lists did not bear out counts as drift, and is repaired by the first runs.
    """
    found: list[tuple[RawObject, Saved]] = []
    for raw in objects:
        saved = checkpoints.load(raw["metadata"].get("uid", ""))
        if saved is not None:
            found.append((raw, saved))
    kinds: set[tuple[str, str, str]] = set()
    for raw, saved in found:
        reconciler.recall(raw, saved)
        kinds |= {(one.group, one.kind, one.version) for one in saved.objects}
    for group, kind, version in kinds:
        follower.follow(group, kind, version)
    unconfirmed = await follower.synced(SYNC_S)
    for group, kind in unconfirmed:
        for id_, owner in list(memory.owned(group, kind)):
            memory.doubt(owner, id_)
    if found:
        log.info("checkpoints restored", count=len(found), kinds=len(kinds), unconfirmed=len(unconfirmed))
