"""Times as the API writes them."""

from datetime import datetime, timedelta, timezone

from shared.api.instant import instant


def test_it_is_in_utc_and_in_whole_seconds() -> None:
    moment = datetime(2026, 1, 31, 14, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert instant(moment) == "2026-01-31T12:00:00Z"
    assert datetime.fromisoformat(instant()).utcoffset() == timedelta(0)
