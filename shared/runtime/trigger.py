"""Which changes of an object start a run. Pure."""

from shared.runtime.cache import RawObject

REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"


def trigger(old: RawObject | None, new: RawObject, wakes_on: tuple[str, ...] = ()) -> str:
    """Why a change of an object starts a run; "" if it does not (status, labels, other annotations).

    Source: behaviour-source.md 1.1.
    """
    after = new["metadata"]
    if old is None:
        return "appeared"
    before = old["metadata"]
    if before.get("uid") != after.get("uid"):
        return "created anew"
    if "deletionTimestamp" in after and "deletionTimestamp" not in before:
        return "deletion"
    if before.get("generation") != after.get("generation"):
        return "spec changed"
    annotations, annotations_before = after.get("annotations", {}), before.get("annotations", {})
    requested = requested_at(new)
    if requested and requested != requested_at(old):
        return "requested"
    if any(annotations.get(name) != annotations_before.get(name) for name in wakes_on):
        return "annotated"
    return ""


def requested_at(raw: RawObject) -> str | None:
    """When a person last asked for a run, in whatever words; None if nobody did."""
    requested: str | None = raw["metadata"].get("annotations", {}).get(REQUESTED_AT)
    return requested
