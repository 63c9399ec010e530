"""Garbage collection of one object's artifacts, at the start of each of its runs."""

import structlog

from shared.artifacts.store import Retention, Store, StoreError
from shared.runtime.outcome import Event

log = structlog.get_logger()


def collect(store: Store, folder: str, *, keep: str | None, retention: Retention) -> Event | None:
    """Remove what nobody needs any more; the event to tell, if anything was removed.

    A failure ends nothing: the next run tries again (behaviour-source.md 1.6, "GC when").
    """
    try:
        removed = store.collect(folder, keep=keep, retention=retention)
    except StoreError as error:
        log.debug("garbage collection failed", folder=folder, error=str(error))
        return None
    if not removed:
        return None
    return Event("Trace", "GarbageCollectionSucceeded", f"garbage collected {len(removed)} artifacts")
