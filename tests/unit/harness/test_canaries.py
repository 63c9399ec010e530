"""A planted secret is found in every form in which it could slip out, and nothing else is."""

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.harness.canaries import Canaries

SECRET_AT_OFFSET = {f"in base64 after {n} bytes": ("x" * n, "y" * (4 - n)) for n in range(4)}
FORMS = {
    "as it is": lambda secret: f"password {secret} refused",
    "in hexadecimal": lambda secret: secret.encode().hex(),
    "in upper case hexadecimal": lambda secret: secret.encode().hex().upper(),
    "in a basic auth header": lambda secret: base64.b64encode(f"bob:{secret}".encode()).decode(),
    "in a URL's user part": lambda secret: f"https://bob:{quote(secret, safe='')}@host/",
    "in a URL's path": lambda secret: f"https://host/{quote(secret)}",
    "in a URL's query": lambda secret: f"https://host/?token={quote_plus(secret)}",
    "in a log line": lambda secret: json.dumps({"msg": secret}),
    "in a patch within a log line": lambda secret: json.dumps({"patch": json.dumps({"password": secret})}),
}


@pytest.mark.parametrize("leak", FORMS.values(), ids=FORMS)
def test_found(leak: object) -> None:
    assert callable(leak)
    canaries = Canaries()
    secret = canaries.plant("password")
    assert canaries.search("log", "nothing to see") == []
    found = canaries.search("log", leak(secret))
    assert found
    assert all("'password #1' appears in log" in str(finding) for finding in found)
    assert secret not in repr(canaries)


@pytest.mark.parametrize(("before", "after"), SECRET_AT_OFFSET.values(), ids=SECRET_AT_OFFSET)
@pytest.mark.parametrize("encode", [base64.standard_b64encode, base64.urlsafe_b64encode])
def test_found_in_base64(before: str, after: str, encode: object) -> None:
    assert callable(encode)
    canaries = Canaries()
    secret = canaries.plant("token")
    assert canaries.search("header", encode(f"{before}{secret}{after}".encode()))


def test_what_is_kept_in_git_may_be_in_archives_only() -> None:
    canaries = Canaries()
    kept, other = canaries.plant("value in Git", in_git=True), canaries.plant("password")
    assert canaries.search("a.tar.gz", kept, is_archive=True) == []
    assert canaries.search("a.tar.gz", kept + other, is_archive=True)
    assert canaries.search("log", kept)


def test_watched_places_are_searched_once(tmp_path: Path) -> None:
    canaries = Canaries()
    log = tmp_path / "log"
    canaries.watch_file(log)
    canaries.watch_file(tmp_path / "never written")
    log.write_text(canaries.plant("key"))
    assert len(canaries.search_watched()) == len(canaries.findings) > 0
    assert canaries.search_watched() == []
