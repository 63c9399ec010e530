"""Waiting for what later stages build upon: definitions that the API server serves, classes that are ready.

Source: behaviour-kustomize.md 7.3. A Namespace or a ClusterRole is ready once it is there.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from kustomize_controller.kustomization.decide import Desired
from kustomize_controller.kustomization.health import kstatus
from kustomize_controller.kustomization.health.conclude import Pending, Unhealthy, conclude
from kustomize_controller.kustomization.health.verdict import Status, Verdict
from kustomize_controller.kustomization.stages import Stage
from shared.api.objects import ObjectId
from shared.kube.client import Client, Identity
from shared.kube.discovery import Discovery
from shared.runtime.outcome import Superseded

__all__ = ["await_ready", "waited_for"]

WAIT_S = 60.0
POLL_S = (0.02, 0.05, 0.1, 0.2, 0.5)
_DEFINITION = "CustomResourceDefinition"


def waited_for(stage: Stage, members: Sequence[Desired]) -> list[Desired]:
    """The objects of a stage that must be ready before the next one begins."""
    if stage is Stage.DEFINITIONS:
        return [one for one in members if one.id.kind == _DEFINITION]
    if stage is Stage.CLASSES:
        return [one for one in members if not kstatus.is_static(one.id.group, one.id.kind)]
    return []


async def await_ready(
    objects: Sequence[Desired],
    client: Client,
    discovery: Discovery,
    identity: Identity | None,
    is_current: Callable[[], bool],
) -> str:
    """Wait for all of `objects`; why not, if they were not ready in time or cannot be.

    Raises:
        Superseded: the run is not to go on.
        ApiError, Unreachable: of a look.
    """
    for one in objects:
        if one.id.kind == _DEFINITION:
            discovery.forget(one.id.name.partition(".")[2])
    now = asyncio.get_running_loop().time
    deadline = now() + WAIT_S
    verdicts: dict[ObjectId, Verdict | None] = {}
    attempt = 0
    while True:
        for one in objects:
            seen = verdicts.get(one.id)
            if seen is None or seen.status is not Status.CURRENT:
                verdicts[one.id] = await _look(one, client, discovery, identity)
        found = conclude(verdicts, timed_out=now() > deadline)
        if not isinstance(found, Pending):
            return found.message if isinstance(found, Unhealthy) else ""
        if not is_current():
            raise Superseded
        await asyncio.sleep(POLL_S[min(attempt, len(POLL_S) - 1)])
        attempt += 1


async def _look(one: Desired, client: Client, discovery: Discovery, identity: Identity | None) -> Verdict:
    resource = await discovery.find(one.id.group, one.version, one.id.kind)
    path = resource.path(one.id.namespace, one.id.name)
    body = await client.request("GET", path, identity=identity)
    try:
        return kstatus.compute(body, one.id.group, one.id.kind, now=datetime.now(UTC))
    except kstatus.NotUnderstood as error:
        return Verdict(Status.UNKNOWN, str(error))
