"""What a line of the audit log counts as, and that each request counts once."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.audit import AuditLog, What, applies, count, parse, writes

KUSTOMIZE = "system:serviceaccount:flux-system:kustomize-controller"
CONFIG_MAP = {"resource": "configmaps", "namespace": "shop", "name": "settings", "apiVersion": "v1"}
STATUS = {"resource": "kustomizations", "subresource": "status", "namespace": "bench", "name": "app-0000"}


def line(verb: str, uri: str, ref: dict[str, str] | None = None, **others: Any) -> bytes:
    """An event as the API server writes it, shortened to what it says of a request."""
    event = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "f2f3b0f5",
        "stage": "ResponseComplete",
        "requestURI": uri,
        "verb": verb,
        "user": {"username": KUSTOMIZE, "groups": ["system:authenticated"]},
        "userAgent": "headrace-kustomize-controller",
        "requestReceivedTimestamp": "2026-11-24T08:42:10.250000Z",
        "responseStatus": {"metadata": {}, "code": 200},
        **others,
    }
    return json.dumps(event | ({"objectRef": ref} if ref else {})).encode()


SETTINGS = "/api/v1/namespaces/shop/configmaps/settings"
APPLY = f"{SETTINGS}?fieldManager=kustomize-controller&force=true"
ROWS: dict[str, tuple[bytes, tuple[str, str, bool], bool]] = {
    "an apply": (line("patch", APPLY, CONFIG_MAP), ("apply", "configmaps", False), True),
    "a dry run of an apply changes nothing": (
        line("patch", f"{APPLY}&dryRun=All", CONFIG_MAP),
        ("apply", "configmaps", True),
        False,
    ),
    "a patch of a status is no apply": (
        line("patch", "/apis/k/v1/namespaces/bench/kustomizations/app-0000/status?fieldManager=x", STATUS),
        ("patch", "kustomizations/status", False),
        True,
    ),
    "a read": (line("get", SETTINGS, CONFIG_MAP), ("get", "configmaps", False), False),
    "a watch": (
        line("watch", "/api/v1/configmaps?watch=true", {"resource": "configmaps"}),
        ("watch", "configmaps", False),
        False,
    ),
    "a path without an object": (line("get", "/apis?timeout=10s"), ("get", "/apis", False), False),
}


@pytest.mark.parametrize(("raw", "what", "is_write"), ROWS.values(), ids=ROWS)
def test_what_a_request_is(raw: bytes, what: tuple[str, str, bool], is_write: bool) -> None:
    request = parse(raw)
    assert request.what == What(KUSTOMIZE, *what)
    assert request.what.is_write is is_write


@pytest.mark.parametrize(
    ("agent", "name"),
    [("kopf/1.45.2", "kopf"), ("kubectl/v1.34 (linux/amd64) kubernetes/9", "kubectl"), ("", "")],
)
def test_agent_is_named_without_its_version(agent: str, name: str) -> None:
    assert parse(line("get", "/apis", userAgent=agent)).agent == name


def test_times_are_of_the_epoch() -> None:
    assert parse(line("get", "/apis")).at == 1795509730.25


def test_only_the_users_asked_for_count_and_dry_runs_are_no_writes() -> None:
    stranger = line("patch", APPLY, CONFIG_MAP, user={"username": "admin"})
    lines = [*(raw for raw, _, _ in ROWS.values()), stranger]
    counts = count(map(parse, lines), [KUSTOMIZE])
    assert sum(counts.values()) == len(ROWS)
    assert (writes(counts), applies(counts)) == (2, 1)
    assert applies(Counter()) == 0


def test_log_that_grows_is_read_once(tmp_path: Path) -> None:
    """A watch has a line at its beginning and one at its end; a line may be half written; a full log is
    renamed, and another one begins."""
    path = tmp_path / "audit.log"
    began = line("watch", "/api/v1/configmaps", auditID="w", stage="ResponseStarted")
    second = line("get", "/apis", auditID="g", requestReceivedTimestamp="2026-11-24T08:42:20.000000Z")
    path.write_bytes(began + b"\n" + second[:40])
    log = AuditLog(path)
    log.read()
    assert [request.id for request in log.requests] == ["w"]

    ended = line("watch", "/api/v1/configmaps", auditID="w")
    with path.open("ab") as file:
        file.write(second[40:] + b"\n" + ended + b"\n")
    path.rename(tmp_path / "audit-2026-11-24T08-43-00.000.log")
    path.write_bytes(line("get", "/api", auditID="n") + b"\n")
    log.read()
    log.read()
    assert sorted(request.id for request in log.requests) == ["g", "n", "w"]
    since = parse(began).at
    assert [request.id for request in log.between(since + 1, since + 60)] == ["g"]
