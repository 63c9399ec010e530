import pytest

from shared.api.duration import InvalidDuration, duration_s, go_duration, positive_s
from shared.api.meta import InvalidObject

READ = {
    "seconds": ("60s", 60.0),
    "minutes and seconds": ("1m30s", 90.0),
    "all units at once": ("1h1m1s500ms", 3661.5),
    "a fraction": ("1.5h", 5400.0),
    "less than a second": ("250ms", 0.25),
    "more seconds than a minute has": ("90s", 90.0),
    "units in another order": ("30s1m", 90.0),
    "a unit twice": ("1m1m", 120.0),
    "zero": ("0s", 0.0),
    "a way to say never": ("99999h", 359_996_400.0),
}


@pytest.mark.parametrize(("text", "seconds"), READ.values(), ids=READ)
def test_duration_s(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds, rel=1e-12)


REFUSED = {
    "empty": "",
    "no unit": "60",
    "a unit alone": "m",
    "weeks": "1w",
    "days": "1d",
    "microseconds": "100us",
    "negative": "-1s",
    "an exponent": "1e3s",
    "blanks": "1m 30s",
    "a line break behind": "1m\n",
    "a comma": "1,5s",
    "no digit before the point": ".5s",
    "digits of another script": "\u0661s",
    "34 years": "300000h0m0s",
    "a megabyte of digits": "9" * 1_000_000 + "s",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidDuration) as caught:
        duration_s(text)
    assert "write" in str(caught.value), "the message says what to do"
    assert len(str(caught.value)) < 200, "and does not quote without end"


@pytest.mark.parametrize("text", ["1w", "0s", "0h0m"])
def test_a_field_with_a_bad_duration_is_named(text: str) -> None:
    with pytest.raises(InvalidObject, match=r"^spec\.interval: ") as caught:
        positive_s(text, "spec.interval")
    assert caught.value.field_path == "spec.interval"
    assert text in caught.value.message


# Source: Go, package time, time_test.go, and the forms that status messages have in the contract.
PRINTED = {
    "nothing": (0.0, "0s"),
    "a nanosecond": (1e-9, "1ns"),
    "microseconds": (0.0011e-3, "1.1µs"),
    "milliseconds": (2.2e-3, "2.2ms"),
    "a quarter of a second": (0.25, "250ms"),
    "just below a second": (0.999999999, "999.999999ms"),
    "a second": (1.0, "1s"),
    "seconds with a fraction": (3.3, "3.3s"),
    "exactly a minute": (60.0, "1m0s"),
    "the default timeout of a 5m interval": (270.0, "4m30s"),
    "minutes and a fraction": (245.001, "4m5.001s"),
    "an hour": (3600.0, "1h0m0s"),
    "hours": (5 * 3600 + 6 * 60 + 7.001, "5h6m7.001s"),
    "more than a day": (100_000.0, "27h46m40s"),
    "before": (-90.0, "-1m30s"),
}


@pytest.mark.parametrize(("seconds", "text"), PRINTED.values(), ids=PRINTED)
def test_go_duration(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
