"""What a Kustomization's reconciler works with, and the tools that it makes of it for one Kustomization."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from kustomize_controller.kustomization import inventory
from kustomize_controller.kustomization.apply import Applier
from kustomize_controller.kustomization.arrivals import Arrivals
from kustomize_controller.kustomization.build import BuiltObject
from kustomize_controller.kustomization.checkpoint import Checkpoints
from kustomize_controller.kustomization.contact import Contact
from kustomize_controller.kustomization.decide import Entry
from kustomize_controller.kustomization.drift import Follower
from kustomize_controller.kustomization.health.expressions import Expressions
from kustomize_controller.kustomization.health.waits import Waits
from kustomize_controller.kustomization.neighbours import Neighbours
from kustomize_controller.kustomization.prepare import Preparer
from kustomize_controller.kustomization.prune import Pruner
from kustomize_controller.kustomization.remember import Drift, Memory
from kustomize_controller.kustomization.send import Sender
from kustomize_controller.settings import Settings
from kustomize_controller.sources import Sources
from shared.api.kinds import KUSTOMIZATION, InvalidObject, decode
from shared.api.kustomization import Kustomization
from shared.api.meta import Key
from shared.api.objects import InvalidId, ObjectId
from shared.kube.client import Client, Identity
from shared.kube.discovery import Discovery
from shared.runtime.cache import RawObject
from shared.runtime.outcome import Event, Stalled
from shared.runtime.queue import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a Kustomization's reconciler works with."""

    settings: Settings
    client: Client
    discovery: Discovery
    sources: Mapping[str, Sources]  # by kind
    preparer: Preparer
    memory: Memory
    follower: Follower
    arrivals: Arrivals
    contact: Contact
    expressions: Expressions
    waits: Waits
    checkpoints: Checkpoints
    lookup: Callable[[Key], RawObject | None]  # Kustomizations as last seen
    of_source: Callable[[Key], Iterable[Key]]  # Kustomizations that refer to a source
    enqueue: Callable[[Key, str, Priority], None]
    held: Callable[[], bool]  # we (still) lead
    tell: Callable[[Key, Event], None]  # an event about another Kustomization

    def neighbour(self, key: Key) -> Kustomization | None:
        """Another Kustomization as last seen; None if it is gone or cannot be read."""
        raw = self.lookup(key)
        if raw is None:
            return None
        try:
            return decode(KUSTOMIZATION, raw)
        except InvalidObject:
            return None

    def neighbours(self) -> Neighbours:
        return Neighbours(
            preparer=self.preparer,
            memory=self.memory,
            lookup=self.neighbour,
            of_source=self.of_source,
            artifact_of=lambda obj: self.sources[obj.source.kind].artifact(obj.source),
        )

    def account(self, obj: Kustomization) -> str:
        """The service account in whose name objects are applied and deleted; "" means our own."""
        return obj.spec.service_account_name or self.settings.default_service_account

    def identity(self, obj: Kustomization) -> Identity | None:
        account = self.account(obj)
        return Identity.service_account(obj.metadata.namespace, account) if account else None

    def applier(
        self,
        obj: Kustomization,
        bodies: Mapping[ObjectId, BuiltObject],
        drifts: Mapping[ObjectId, Drift],
        is_current: Callable[[], bool],
    ) -> Applier:
        return Applier(
            client=self.client,
            discovery=self.discovery,
            contact=self.contact,
            memory=self.memory,
            follower=self.follower,
            owner=obj.key,
            identity=self.identity(obj),
            bodies=bodies,
            drifts=drifts,
            recorded=frozenset(entry.id for entry in recorded(obj)),
            custom_kinds=self.settings.custom_apply_stage_kinds,
            concurrent=self.settings.concurrent_ssa,
            is_current=is_current,
            sender=Sender(
                client=self.client,
                contact=self.contact,
                identity=self.identity(obj),
                force=obj.spec.force,
                is_current=is_current,
            ),
        )

    def pruner(
        self, obj: Kustomization, may_go_on: Callable[[], bool], spared: Collection[ObjectId] = ()
    ) -> Pruner:
        return Pruner(
            client=self.client,
            discovery=self.discovery,
            memory=self.memory,
            owner=obj.key,
            identity=self.identity(obj),
            spared=spared,
            may_go_on=may_go_on,
        )


def recorded(obj: Kustomization) -> tuple[Entry, ...]:
    """The entries of its inventory.

    Raises:
        Stalled: one of them cannot be understood.
    """
    try:
        return inventory.entries_of(obj.status.inventory)
    except InvalidId as error:
        raise Stalled("ValidationFailed", f"status.inventory: {error}; correct or remove it") from error
