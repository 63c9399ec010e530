"""The shape of a log line, which `flux logs` and people's log stores depend on."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from shared.runtime import logs
from shared.runtime.redact import register

CANARY = "canary-logs-7b1f"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    before = logging.root.handlers[:], logging.root.level
    yield io.StringIO()
    logging.root.handlers[:], logging.root.level = before
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def _raise() -> None:
    raise ValueError(f"bad {CANARY}")


def _log_exception(log: logs.Log) -> None:
    try:
        _raise()
    except ValueError:
        log.exception("unexpected")


def _log_error(log: logs.Log) -> None:
    try:
        _raise()
    except ValueError as error:
        log.error("failed", error=error)


WRITTEN: dict[str, tuple[Callable[[logs.Log], None], dict[str, Any]]] = {
    "information": (lambda log: log.info("done", of="r"), {"level": "info", "msg": "done", "of": "r"}),
    "a warning is information": (lambda log: log.warning("hm"), {"level": "info", "msg": "hm"}),
    "an error has its text": (_log_error, {"level": "error", "msg": "failed", "error": "bad ***"}),
    "an unexpected one too": (_log_exception, {"level": "error", "msg": "unexpected", "error": "bad ***"}),
    "an error without words": (lambda log: log.error("x", error=TimeoutError()), {"error": "TimeoutError"}),
    "nested values": (lambda log: log.info("x", changed={"a": [1, None]}), {"changed": {"a": [1, None]}}),
    "an object": (lambda log: log.info("x", of=io), {"of": str(io)}),
    "bytes that are no text": (lambda log: log.info("x", of=b"\xff"), {"of": "\ufffd"}),
    "a file name that is no text": (lambda log: log.info("x", of="\udcff"), {"of": "?"}),
    "a secret": (lambda log: log.info("x", of=f"a{CANARY}b"), {"of": "a***b"}),
    "a secret within": (lambda log: log.info("x", of={CANARY: (CANARY.encode(),)}), {"of": {"***": ["***"]}}),
    "a secret in the message": (lambda log: log.info(CANARY), {"msg": "***"}),
    "a URL": (lambda log: log.info("x", url="https://u:p@h/x?q=1"), {"url": "https://h/x"}),
    "a named part": (lambda _: logs.logger("setup").info("x"), {"logger": "setup"}),
    "another package": (lambda _: structlog.get_logger("git").info("x"), {"logger": "git", "level": "info"}),
    "a library": (lambda _: logging.getLogger("aiohttp.server").error("no %s", 1), {
        "logger": "aiohttp.server", "level": "error", "msg": "no 1",
    }),
    "a library's warning": (lambda _: logging.getLogger("a").warning("w"), {"level": "info", "msg": "w"}),
    "kopf's warning": (lambda _: logging.getLogger("kopf.objects").warning("w"), {"logger": "kopf.objects"}),
}  # fmt: skip


@pytest.mark.parametrize(("write", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_what_is_written(
    write: Callable[[logs.Log], None], expected: dict[str, Any], stream: io.StringIO
) -> None:
    register(CANARY)
    logs.setup("info", "json", stream)
    write(logs.logger())
    (line,) = lines(stream)
    assert expected.items() <= line.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
    assert list(line)[:2] == ["level", "ts"]
    assert CANARY not in stream.getvalue()


SILENT: dict[str, Callable[[logs.Log], None]] = {
    "a decision": lambda log: log.debug("x"),
    "the wire": lambda log: log.trace("x"),
    "a library's chatter": lambda _: logging.getLogger("aiohttp").info("x"),
    "kopf's chatter": lambda _: logging.getLogger("kopf.objects").info("x"),
}


@pytest.mark.parametrize("write", SILENT.values(), ids=SILENT)
def test_what_is_not_written_at_info(write: Callable[[logs.Log], None], stream: io.StringIO) -> None:
    logs.setup("info", "json", stream)
    write(logs.logger())
    assert stream.getvalue() == ""


def test_kopf_is_quiet_even_for_who_debugs(stream: io.StringIO) -> None:
    logs.setup("trace", "json", stream)
    logging.getLogger("kopf.objects").info("x")
    logging.getLogger("aiohttp").debug("y")
    assert [line["msg"] for line in lines(stream)] == ["y"]


def test_levels_let_through_what_is_graver(stream: io.StringIO) -> None:
    log = logs.logger()
    seen = {}
    for level in ("trace", "debug", "info", "error"):
        logs.setup(level, "json", stream)
        stream.truncate(stream.seek(0))
        for write in (log.trace, log.debug, log.info, log.error):
            write("x")
        seen[level] = [line["level"] for line in lines(stream)]
    assert seen == {
        "trace": ["trace", "debug", "info", "error"],
        "debug": ["debug", "info", "error"],
        "info": ["info", "error"],
        "error": ["error"],
    }


TRACES = {
    "an expected error": ("info", _log_error, False),
    "an expected error, for who debugs": ("debug", _log_error, True),
    "an unexpected error": ("info", _log_exception, True),
}


@pytest.mark.parametrize(("level", "write", "traced"), TRACES.values(), ids=TRACES)
def test_traces(
    level: logs.Level, write: Callable[[logs.Log], None], traced: bool, stream: io.StringIO
) -> None:
    register(CANARY)
    logs.setup(level, "json", stream)
    write(logs.logger())
    assert ("in _raise" in stream.getvalue()) == traced
    assert CANARY not in stream.getvalue()


def test_the_keys_of_a_reconcile(stream: io.StringIO) -> None:
    logs.setup("info", "json", stream)
    group = "source.toolkit.fluxcd.io"
    log = logs.for_object(
        logs.logger(), group=group, kind="GitRepository", namespace="apps", name="web", reconcile_id="id-1"
    )
    log.info("artifact published")
    (line,) = lines(stream)
    line.pop("ts")
    assert line == {
        "level": "info",
        "msg": "artifact published",
        "controller": "gitrepository",
        "controllerGroup": group,
        "controllerKind": "GitRepository",
        "GitRepository": {"name": "web", "namespace": "apps"},
        "namespace": "apps",
        "name": "web",
        "reconcileID": "id-1",
    }


WHOSE: dict[str, tuple[dict[str, str], str]] = {
    "its own namespace": ({"namespace": "logs-own"}, "***"),
    "another namespace": ({"namespace": "logs-other"}, "word-of-a-tenant"),
    "nobody's": ({}, "***"),
}


@pytest.mark.parametrize(("bound", "shown"), WHOSE.values(), ids=WHOSE)
def test_a_secret_is_masked_where_its_namespace_is_named(
    bound: dict[str, str], shown: str, stream: io.StringIO
) -> None:
    register("word-of-a-tenant", "logs-own")
    logs.setup("info", "json", stream)
    logs.logger("word-of-a-tenant").bind(**bound).info("word-of-a-tenant", of=["word-of-a-tenant"])
    (line,) = lines(stream)
    assert (line["msg"], line["of"]) == (shown, [shown])
    assert line["logger"] == "word-of-a-tenant"


def test_console_is_for_people(stream: io.StringIO) -> None:
    logs.setup("debug", "console", stream)
    logs.logger("setup").info("started", port=8080)
    _, *rest = stream.getvalue().rstrip("\n").split("\t")
    assert rest == ["INFO", "setup", "started", '{"port":8080}']


def test_a_line_has_a_bound(stream: io.StringIO) -> None:
    logs.setup("info", "json", stream)
    logs.logger().info("x", of="a" * 100_000)
    assert len(stream.getvalue()) < 33_000
