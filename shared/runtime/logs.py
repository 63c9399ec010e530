"""Logs: one JSON object a line on stderr, with the keys that `flux logs` reads.

`setup` is called once, in `__main__.py`. Code logs through `logger(name)` or the bound logger of its run;
libraries that use the standard library's logging come out in the same form. Every value passes the redactor,
with the secrets of the namespace that the line names, or of all if it names none.

Source: the contract, telemetry.md 3.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, cast

import msgspec
import structlog

from shared.runtime.redact import redact

__all__ = ["Level", "Log", "for_object", "logger", "setup"]

Level = Literal["trace", "debug", "info", "error"]
Encoding = Literal["json", "console"]
Entry = MutableMapping[str, Any]

_RANK: Final[dict[str, int]] = {"trace": 5, "debug": 10, "info": 20, "error": 40}
_FIRST_KEYS = ("level", "ts", "logger", "msg", "error")
_OURS = ("level", "ts", "logger")  # no stranger has a word in them
_LONGEST = 32_768  # characters of one value: a line that nobody can ship helps nobody


class Log(structlog.BoundLoggerBase):
    """A logger with fields bound to it. Messages are constant; what varies goes into fields.

    `error=` takes an exception or a text. `exc_info=` takes an exception whose trace is wanted at any level.
    Packages below this one get the same class from `structlog.get_logger(name)` once `setup` has run.
    """

    def bind(self, **fields: object) -> "Log":
        return super().bind(**fields)

    def trace(self, msg: str, **fields: object) -> None:
        """The wire."""
        self._write("trace", msg, fields)

    def debug(self, msg: str, **fields: object) -> None:
        """A decision and its input."""
        self._write("debug", msg, fields)

    def info(self, msg: str, **fields: object) -> None:
        """Something changed because of us."""
        self._write("info", msg, fields)

    def error(self, msg: str, **fields: object) -> None:
        """A person should look."""
        self._write("error", msg, fields)

    # Beside the four levels of the contract, two names that people expect of a logger.

    def warning(self, msg: str, **fields: object) -> None:
        """The contract knows no `warn`; a warning is rarely something to get up for."""
        self._write("info", msg, fields)

    def exception(self, msg: str, **fields: object) -> None:
        """An error with the trace of the exception that is being handled."""
        self._write("error", msg, {"exc_info": True, **fields})

    def _write(self, level: Level, msg: str, fields: dict[str, object]) -> None:
        if _RANK[level] >= _threshold.rank:
            self._proxy_to_logger(level, msg, **fields)


class _Threshold:
    """The least rank that is written; one per process, for bound loggers outlive a `setup`."""

    rank = _RANK["info"]


_threshold = _Threshold()


_one_line_at_a_time = threading.Lock()


class _Lines:
    """Where the rendered lines of one logger go: whole ones, for several threads log."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self.name = name

    def _line(self, line: str) -> None:
        with _one_line_at_a_time:
            self._stream.write(line + "\n")
            self._stream.flush()

    trace = debug = info = error = _line


def setup(level: Level = "info", encoding: Encoding = "json", stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr); what is below `level` is dropped early."""
    place = stream or sys.stderr
    _threshold.rank = _RANK[level]
    structlog.configure(
        processors=[_stamp, _explain, _plain, _render_json if encoding == "json" else _render_console],
        wrapper_class=Log,
        logger_factory=lambda *args: _Lines(place, str(args[0]) if args else ""),
        cache_logger_on_first_use=False,  # else a logger made before `setup` would keep the old place
    )
    # Libraries tell what went wrong; what went well is of interest only to who debugs them.
    floor = {"trace": logging.DEBUG, "debug": logging.INFO}.get(level, logging.WARNING)
    logging.basicConfig(level=floor, handlers=[_FromStdlib()], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.captureWarnings(True)


def logger(name: str | None = None) -> Log:
    """The logger of a part of the process, such as `setup`; without a name, lines have no `logger` key."""
    return cast(Log, structlog.get_logger(*([name] if name else [])))


def for_object(log: Log, *, group: str, kind: str, namespace: str, name: str, reconcile_id: str) -> Log:
    """`log` with the keys of one reconcile of one object."""
    fields: dict[str, object] = {
        "controller": kind.lower(),
        "controllerGroup": group,
        "controllerKind": kind,
        kind: {"name": name, "namespace": namespace},
        "namespace": namespace,
        "name": name,
        "reconcileID": reconcile_id,
    }
    return log.bind(**fields)


class _FromStdlib(logging.Handler):
    """Sends the standard library's log records the same way, their logger's name as `logger`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = logger(record.name)
            fields: dict[str, object] = {}
            if record.exc_info and record.exc_info[1]:
                fields["exc_info"] = record.exc_info[1]
            if record.levelno >= logging.ERROR:
                log.error(record.getMessage(), **fields)
            elif record.levelno >= logging.INFO:
                log.info(record.getMessage(), **fields)
            else:
                log.debug(record.getMessage(), **fields)
        except Exception:  # as in every handler of the standard library: logging never breaks its caller
            self.handleError(record)


def _stamp(lines: _Lines, level: str, entry: Entry) -> Entry:
    if lines.name:
        entry["logger"] = lines.name
    entry["level"] = level
    entry["ts"] = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    entry["msg"] = entry.pop("event")
    return entry


def _explain(_: object, __: str, entry: Entry) -> Entry:
    """An exception becomes `error`, its text, and `stacktrace` where it was asked for or the level is low."""
    wanted = entry.pop("exc_info", None)
    if wanted is True:
        wanted = sys.exc_info()[1]
    error = entry.get("error", wanted)
    if isinstance(error, BaseException):
        entry["error"] = str(error) or type(error).__name__
    trace_of = wanted if isinstance(wanted, BaseException) else error
    low = _threshold.rank <= _RANK["debug"]
    if isinstance(trace_of, BaseException) and trace_of.__traceback__ and (wanted is not None or low):
        entry["stacktrace"] = "".join(traceback.format_exception(trace_of))
    return entry


def _plain(_: object, __: str, entry: Entry) -> Entry:
    """Everything as redacted JSON values, the contract's keys first."""
    first = {key: entry[key] for key in _FIRST_KEYS if key in entry}
    about = entry.get("namespace")
    namespace = about if isinstance(about, str) else None
    return {
        # What a traceback quotes may come from anywhere.
        key: value if key in _OURS else _redacted(value, None if key == "stacktrace" else namespace)
        for key, value in (first | dict(entry)).items()
    }


def _redacted(value: object, namespace: str | None) -> object:
    match value:
        case None | bool() | float():
            return value
        case int():  # a PIN is a number
            masked = redact(str(value), namespace)
            return value if masked == str(value) else masked
        case Mapping():
            return {redact(str(key), namespace): _redacted(inner, namespace) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(inner, namespace) for inner in value]
        case bytes():
            return _cut(redact(value.decode(errors="replace"), namespace))
        case _:
            return _cut(redact(str(value), namespace))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _encode(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate, as in a file name that is not UTF-8
        return msgspec.json.encode(_without_surrogates(value)).decode()


def _without_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
        case list():
            return [_without_surrogates(inner) for inner in value]
        case _:
            return value


def _render_json(_: object, __: str, entry: Entry) -> str:
    return _encode(entry)


def _render_console(_: object, __: str, entry: Entry) -> str:
    """For a person at a terminal: time, level, logger, message, then the rest as JSON."""
    rest = dict(entry)
    head = [rest.pop("ts"), str(rest.pop("level")).upper(), rest.pop("logger", ""), rest.pop("msg")]
    trace = rest.pop("stacktrace", "")
    line = "\t".join(part for part in head if part)
    return line + (f"\t{_encode(rest)}" if rest else "") + (f"\n{trace}".rstrip() if trace else "")
