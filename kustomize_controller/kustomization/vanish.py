"""Objects that Kubernetes deletes by itself, some time after they are done.

Only a Job does, with `spec.ttlSecondsAfterFinished`. That it is gone is its end and no drift: made again, it
would run again. Source: behaviour-kustomize.md 10 for its health.
"""

import msgspec

from kustomize_controller.kustomization.built import BuiltObject

__all__ = ["vanishes"]


class _JobSpec(msgspec.Struct, rename="camel"):
    ttl_seconds_after_finished: int | None = None


class _Job(msgspec.Struct):
    spec: _JobSpec = msgspec.field(default_factory=_JobSpec)


def vanishes(content: BuiltObject) -> bool:
    """Whether the object goes by itself once it is done."""
    if (content.group, content.kind) != ("batch", "Job"):
        return False
    try:
        return msgspec.json.decode(content.body, type=_Job).spec.ttl_seconds_after_finished is not None
    except msgspec.ValidationError:
        return False
