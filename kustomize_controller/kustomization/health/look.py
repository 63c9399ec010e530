"""A look at one object that is waited for: as the tenant, and only as far as the verdict needs it.

What cannot be looked at is no failure: the object, its kind or the right to read it may come yet, so it is
waited for like one that is not ready.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from kustomize_controller.kustomization.health import kstatus
from kustomize_controller.kustomization.health.expressions import OF_OBJECT, Expressions, NotEvaluated
from kustomize_controller.kustomization.health.targets import Target
from kustomize_controller.kustomization.health.verdict import CURRENT, Status, Verdict, in_progress
from shared.api.kustomization import HealthCheckExpr
from shared.kube import apply, errors
from shared.kube.client import Client, Identity
from shared.kube.discovery import Discovery, Resource, UnsafeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """In whose name an object is looked at.

    Attributes:
        namespace: of the Kustomization; the unit of fairness where expressions are evaluated.
        identity: whom to act as; None for the controller's own rights.
    """

    namespace: str
    identity: Identity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looker:
    client: Client
    discovery: Discovery
    expressions: Expressions
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def look(self, target: Target, viewer: Viewer) -> Verdict:
        """What the object says now.

        Raises:
            Unreachable, ServerError, Unauthorized, TooManyRequests: the API server is not there.
        """
        id_ = target.id
        is_static = target.expressions is None and kstatus.is_static(id_.group, id_.kind)
        if is_static and target.is_known:
            return CURRENT  # the watch tells when it goes
        try:
            resource = await self.discovery.find(id_.group, target.version, id_.kind)
            if resource.namespaced and not id_.namespace:
                return Verdict(Status.UNKNOWN, "namespace not specified: set spec.healthChecks[].namespace")
            if is_static:
                return await self._look_whether_there(resource, target, viewer)
            path = resource.path(id_.namespace, id_.name)
            body = await self.client.request("GET", path, identity=viewer.identity)
            return await self._judge(body, target, viewer)
        except errors.NotFound:
            return CURRENT if target.may_vanish else Verdict(Status.NOT_FOUND)
        except errors.NoMatch as error:
            return Verdict(Status.NOT_FOUND, str(error))
        except errors.ApiError as error:
            if isinstance(error, errors.ABSENT):
                raise
            if error.status == 404:
                self.discovery.forget(id_.group)  # the version may not be served any more: ask next time
                return Verdict(Status.NOT_FOUND, str(error))
            return Verdict(Status.UNKNOWN, str(error))
        except (UnsafeName, kstatus.NotUnderstood) as error:
            return Verdict(Status.UNKNOWN, str(error))

    async def _look_whether_there(self, resource: Resource, target: Target, viewer: Viewer) -> Verdict:
        """Without its content: a Secret's is nobody's business here."""
        id_ = target.id
        meta = await apply.get_metadata(
            self.client, resource, id_.namespace, id_.name, identity=viewer.identity
        )
        if meta is None:
            return Verdict(Status.NOT_FOUND)
        if meta.deletion_timestamp is not None:
            return Verdict(Status.TERMINATING, "scheduled for deletion")
        return CURRENT

    async def _judge(self, body: bytes, target: Target, viewer: Viewer) -> Verdict:
        if target.expressions is None:
            return kstatus.compute(body, target.id.group, target.id.kind, now=self.now())
        behind = kstatus.behind(body)
        if behind is not None:
            return behind
        try:
            return await self._express(body, target.expressions, viewer)
        except NotEvaluated as error:
            # A message of the evaluation may quote what it stumbled over.
            is_secret = (target.id.group, target.id.kind) == ("", "Secret")
            return Verdict(Status.UNKNOWN, "an expression has no result" if is_secret else str(error))

    async def _express(self, body: bytes, said: HealthCheckExpr, viewer: Viewer) -> Verdict:
        """In the order of the contract: inProgress, failed, current; none of them is InProgress."""
        steps = [
            (said.in_progress, Verdict(Status.IN_PROGRESS, "inProgress is true")),
            (said.failed, Verdict(Status.FAILED, "failed is true")),
            (said.current, CURRENT),
        ]
        steps = [step for step in steps if step[0]]
        texts = [text for text, _ in steps]
        found = await self.expressions.first_true(viewer.namespace, texts, OF_OBJECT, msgspec.Raw(body))
        return steps[found][1] if found is not None else in_progress("current is not true")
