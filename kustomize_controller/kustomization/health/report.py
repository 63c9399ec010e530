"""What a wait for health says: conditions, events, and whether it is worth saying. Pure, but for the clock.

Source: behaviour-kustomize.md 10, 12 and 14.
"""

from datetime import UTC, datetime

from kustomize_controller.kustomization.health.wait import Attempt
from shared.api.artifact import Artifact
from shared.api.duration import go_duration
from shared.api.kustomization import Kustomization
from shared.runtime import conditions
from shared.runtime.outcome import Event, Mark

TYPE = "Healthy"
FAILED = "HealthCheckFailed"
CANCELED = "HealthCheckCanceled"


def running(within: str) -> str:
    """The progress message. `within` names revision and timeout."""
    return f"Running health checks {within}"


def pending(message: str) -> Mark:
    return Mark(TYPE, "Unknown", "Progressing", message)


def passed(duration_s: float) -> Mark:
    return Mark(TYPE, "True", "Succeeded", f"Health check passed in {shown(duration_s)}")


def failed(message: str) -> Mark:
    return Mark(TYPE, "False", FAILED, message)


def failure(obj: Kustomization, artifact: Artifact, duration_s: float, message: str) -> str:
    """The message of Ready=False. A retry that meets the same says the same, with the duration of the first
    time, and so writes nothing."""
    healthy, ready = obj.status.condition(TYPE), obj.status.condition("Ready")
    written = conditions.shown(message, obj.metadata.namespace)
    if is_known_failure(obj, artifact) and healthy is not None and healthy.message == written:
        return ready.message if ready is not None else message
    return f"health check failed after {shown(duration_s)}: {message}"


def shown(duration_s: float) -> str:
    """Whole seconds where there are some."""
    return go_duration(round(duration_s) if duration_s >= 1 else round(duration_s, 3))


def is_news(obj: Kustomization, artifact: Artifact, *, changed: bool) -> bool:
    """Whether an event tells that the checks passed."""
    healthy = obj.status.condition(TYPE)
    was_healthy = healthy is not None and healthy.status == "True"
    return not was_healthy or (changed and obj.status.last_applied_revision != artifact.revision)


def was_told(obj: Kustomization, message: str) -> float | None:
    """For how many seconds this very wait has been under way, by the status; None if it does not say so.

    That is how a wait goes on after the controller was started anew, with its clock.
    """
    healthy = obj.status.condition(TYPE)
    written = conditions.shown(message, obj.metadata.namespace)
    if healthy is None or (healthy.status, healthy.message) != ("Unknown", written):
        return None
    if healthy.observed_generation != obj.metadata.generation:
        return None
    try:
        since = datetime.fromisoformat(healthy.last_transition_time)
        return max((datetime.now(UTC) - since).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def is_known_failure(obj: Kustomization, artifact: Artifact) -> bool:
    """Whether the status says already that these very checks failed: a retry says nothing until that
    changes."""
    ready = obj.status.condition("Ready")
    return (
        ready is not None
        and (ready.status, ready.reason) == ("False", FAILED)
        and ready.observed_generation == obj.metadata.generation
        and obj.status.last_attempted_revision == artifact.revision
    )


def canceled(obj: Kustomization, before: Attempt, attempt: Attempt, about: dict[str, str]) -> Event:
    """`before` was waited for until `attempt` came."""
    source = obj.source if before.revision != attempt.revision else obj.key
    told = f"Health checks canceled due to new reconciliation triggered by {source}"
    return Event("Normal", CANCELED, told, about)
