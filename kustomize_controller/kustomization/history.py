"""`status.history`: the last few distinct results of a Kustomization. Pure.

Source: behaviour-kustomize.md 11. An entry is a content (digest of the build) with a result; the same again
counts up.
"""

from collections.abc import Sequence
from typing import Any

from shared.api.duration import go_duration
from shared.api.kustomization import HistoryEntry

LENGTH = 5


def advance(
    history: Sequence[HistoryEntry],
    *,
    digest: str,
    result: str,
    revision: str,
    origin_revision: str,
    now: str,
    duration_s: float,
) -> list[dict[str, Any]]:
    """The history with one more run, newest first, as JSON values."""
    same = next((e for e in history if (e.digest, e.last_reconciled_status) == (digest, result)), None)
    metadata = {"revision": revision}
    if origin_revision:
        metadata["originRevision"] = origin_revision
    newest = {
        "digest": digest,
        "firstReconciled": same.first_reconciled if same else now,
        "lastReconciled": now,
        "lastReconciledDuration": go_duration(round(duration_s, 3)),
        "lastReconciledStatus": result,
        "totalReconciliations": (same.total_reconciliations if same else 0) + 1,
        "metadata": metadata,
    }
    rest = [_raw(entry) for entry in history if entry is not same]
    return [newest, *rest][:LENGTH]


def _raw(entry: HistoryEntry) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "digest": entry.digest,
        "firstReconciled": entry.first_reconciled,
        "lastReconciled": entry.last_reconciled,
        "lastReconciledDuration": entry.last_reconciled_duration,
        "lastReconciledStatus": entry.last_reconciled_status,
        "totalReconciliations": entry.total_reconciliations,
    }
    if entry.metadata:
        raw["metadata"] = dict(entry.metadata)
    return raw
