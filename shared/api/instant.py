"""Points in time as the API writes them (metav1.Time): RFC 3339 in UTC, whole seconds."""

from datetime import UTC, datetime


def instant(moment: datetime | None = None) -> str:
    """`moment`, which must know its zone, or now: `2026-01-31T12:00:00Z`."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
