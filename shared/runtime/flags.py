"""Flags of a controller process: declared as data, read from arguments and environment, shown by `--help`.

The syntax is Go's pflag, for the arguments in people's manifests were written for it: `--flag=value`,
`--flag value`, `--bool`, `--bool=false`, durations such as `1m30s`, lists by commas or repetition. A flag
wins over its environment variable, that over the default. Flags that Flux has and we have no use for are
declared with `heeded=False`: accepted, so that a manifest keeps working, and named once at start
(`unheeded`). One that has a single value in force here is declared with it (`always`): only others are named.

Source: the contract, telemetry.md 5. Exit codes: 2 for what cannot be read, 1 for an unknown feature gate and
for values that exclude each other.
"""

import difflib
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, NoReturn

from shared.api.duration import duration_s, go_duration

__all__ = ["Address", "Flag", "change", "describe", "feature_gates", "parse", "refuse", "unheeded"]

FlagType = Literal["string", "int", "float", "bool", "duration", "list", "address", "gates"]
# What `parse` gives: str, int, float, bool, seconds as float, list[str], Address | None, dict[str, bool].
Value = Any


class Address(NamedTuple):
    """Where a server listens. An empty host is every interface; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        env: the environment variable that is read when the flag is not given; empty counts as not set.
        default: as a person writes it ("30s", ":8080", ""), a number, a bool, a list, or the known gates.
        heeded: False where Flux has this flag and its value changes nothing here.
        group: the heading under which `--help` shows it.
        choices: the only values allowed, if any.
        heeded_gates: of the type "gates": those that change something here.
        always: the value that is in force here whatever is given; None: the given one.
    """

    name: str
    env: str
    default: Value
    type: FlagType
    help: str
    heeded: bool = True
    group: str = "This controller"
    choices: tuple[str, ...] = ()
    heeded_gates: frozenset[str] = frozenset()
    always: Value = None


def feature_gates(defaults: Mapping[str, bool], *, heeded: Collection[str]) -> Flag:
    """`--feature-gates` of a controller that knows the gates `defaults`, of which `heeded` do something."""
    text = "Switches by name, such as A=true,B=false."
    return Flag(
        "feature-gates", "FEATURE_GATES", dict(defaults), "gates", text, True, "Feature gates",
        heeded_gates=frozenset(heeded),
    )  # fmt: skip


def change(flags: Iterable[Flag], name: str, **fields: Any) -> tuple[Flag, ...]:
    """`flags` with some fields of one replaced, for example the default that one controller has its own of.

    Raises:
        KeyError: no flag has this name.
    """
    before = tuple(flags)
    if name not in {flag.name for flag in before}:
        raise KeyError(name)
    return tuple(replace(flag, **fields) if flag.name == name else flag for flag in before)


class _Refused(Exception):
    """The command line or the environment cannot be used; the message says what to write instead."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def parse(
    flags: Sequence[Flag], argv: Sequence[str], environ: Mapping[str, str], *, prog: str = "", about: str = ""
) -> dict[str, Value]:
    """The value of every flag, by its name.

    `--help` prints `describe` and exits 0. What cannot be read is said on stderr: exit 2 with a usage, exit 1
    for an unknown feature gate.

    Args:
        argv: without the program's name.
        prog, about: for the usage: how the program is started, and a sentence on what it does.
    """
    try:
        given = _given(flags, argv)
        if "help" in given:
            print(describe(flags, prog=prog, about=about))
            raise SystemExit(0)
        return {flag.name: _value(flag, given.get(flag.name), environ) for flag in flags}
    except _Refused as error:
        _exit(error, flags, prog)


def refuse(message: str) -> NoReturn:
    """End the start: every flag can be read, but one cannot be used beside the others. Exit code 1."""
    print(message, file=sys.stderr)
    raise SystemExit(1)


def unheeded(flags: Sequence[Flag], argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Names of flags, and `feature-gates=NAME` of gates, that were set and change nothing here.

    A flag with a value that is `always` in force is named, as `NAME=VALUE`, if another one was set.

    Call it after `parse` has accepted the same arguments.
    """
    given = _given(flags, argv)
    found = []
    for flag in flags:
        is_set = flag.name in given or bool(environ.get(flag.env))
        if is_set and not flag.heeded:
            found.append(flag.name)
        if is_set and flag.always is not None:
            value = _value(flag, given.get(flag.name), environ)
            found += [f"{flag.name}={_shown(flag, value)}"] if value != flag.always else []
        if is_set and flag.type == "gates":
            chosen = _value(flag, given.get(flag.name), environ)
            changed = sorted(gate for gate, on in chosen.items() if on != flag.default[gate])
            found += [f"{flag.name}={gate}" for gate in changed if gate not in flag.heeded_gates]
    return found


def describe(flags: Sequence[Flag], *, prog: str = "", about: str = "") -> str:
    """The text of `--help`: what the program does, how values are written, and every flag by group."""
    how = (
        "A flag is written --flag=value or --flag value; a switch --flag or --flag=false. Without the flag "
        "its environment variable counts, without that the default. Durations are written like 750ms, 35s or "
        "1h30m; lists have commas; an address like :8080 means every interface, and 0 turns the server off."
    )
    lines = [f"Usage: {prog or 'controller'} [flags]", ""]
    lines += [*textwrap.wrap(about, 100), ""] if about else []
    lines += textwrap.wrap(how, 100)
    for group in dict.fromkeys(flag.group for flag in flags):
        lines += ["", f"{group}:"]
        for flag in flags:
            if flag.group == group:
                lines += _entry(flag)
    return "\n".join(lines)


def _entry(flag: Flag) -> Iterator[str]:
    yield f"  --{flag.name}" + ("" if flag.type == "bool" else f" {flag.type}")
    unused = "" if flag.heeded else " Accepted for compatibility; it changes nothing here."
    if flag.always is not None:
        unused = f" Always {_shown(flag, flag.always)} here; anything else is accepted and changes nothing."
    choices = f" One of {', '.join(flag.choices)}." if flag.choices else ""
    default = "" if flag.type == "gates" else f"Default {_shown(flag, flag.default)}. "
    yield from textwrap.wrap(
        f"{flag.help}{choices}{unused} {default}Environment: {flag.env}.",
        100, initial_indent="      ", subsequent_indent="      ",
    )  # fmt: skip
    if flag.type == "gates":
        for gate, on in sorted(flag.default.items()):
            note = "" if gate in flag.heeded_gates else "  (accepted; changes nothing here)"
            yield f"        {gate}={str(on).lower()}{note}"


def _shown(flag: Flag, value: Value) -> str:
    match value:
        case bool():
            return str(value).lower()
        case "" | []:
            return "empty"
        case list():
            return ",".join(value)
        case float() if flag.type == "duration":
            return go_duration(value)
        case _:
            return str(value)


def _given(flags: Sequence[Flag], argv: Sequence[str]) -> dict[str, list[str]]:
    """The values written on the command line, by flag, in order; "help" if that was asked for."""
    known = {flag.name: flag for flag in flags}
    given: dict[str, list[str]] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word in ("--help", "-h"):
            return {"help": []}
        if not word.startswith("--") or word == "--":
            hint = "" if word.startswith("-") else "; write a switch as --flag=false, with the equals sign"
            raise _Refused(f"unexpected argument {word!r}{hint}")
        name, equals, value = word[2:].partition("=")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise _Refused(f"unknown flag: --{name}" + (f"; did you mean --{near[0]}?" if near else ""))
        if not equals and known[name].type == "bool":
            value = "true"
        elif not equals and not rest:
            raise _Refused(f"flag needs an argument: --{name}")
        elif not equals:
            value = rest.pop(0)
        given.setdefault(name, []).append(value)
    return given


def _value(flag: Flag, given: Sequence[str] | None, environ: Mapping[str, str]) -> Value:
    if given is not None:
        texts, where = given, f"--{flag.name}"
    elif environ.get(flag.env):
        texts, where = [environ[flag.env]], f"environment variable {flag.env}"
    else:
        return _READ[flag.type](flag.default) if isinstance(flag.default, str) else flag.default
    try:
        if flag.type == "list":
            return [item for text in texts for item in _READ["list"](text)]
        if flag.type == "gates":
            return _gates(flag, texts)
        value = _READ[flag.type](texts[-1])
    except ValueError as error:
        raise _Refused(f"invalid value {texts[-1]!r} for {where}: {error}") from error
    if flag.choices and value not in flag.choices:
        raise _Refused(f"invalid value {value!r} for {where}: use one of {', '.join(flag.choices)}")
    return value


def _gates(flag: Flag, texts: Sequence[str]) -> dict[str, bool]:
    chosen = dict(flag.default)
    for item in (item.strip() for text in texts for item in text.split(",")):
        name, equals, value = item.partition("=")
        if not item:
            continue
        if name not in chosen:
            raise _Refused(f"unknown feature gate {name!r}; known here: {', '.join(sorted(chosen))}", code=1)
        if not equals:
            raise ValueError(f"missing value for {name}; write {name}=true or {name}=false")
        chosen[name] = _bool(value)
    return chosen


def _bool(text: str) -> bool:
    """Source: Go, strconv.ParseBool."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError("use true or false")


def _address(text: str) -> Address | None:
    """`:8080`, `127.0.0.1:8080`, `[::1]:8080`; `0` and nothing mean no server."""
    if text in ("", "0"):
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError("use host:port or :port with a port up to 65535")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


_READ: Mapping[FlagType, Callable[[str], Value]] = {
    "string": str, "int": int, "float": float, "bool": _bool, "duration": duration_s, "list": _list,
    "address": _address,
}  # fmt: skip


def _exit(error: _Refused, flags: Sequence[Flag], prog: str) -> NoReturn:
    names = textwrap.wrap(" ".join(f"--{flag.name}" for flag in flags), 100, break_on_hyphens=False)
    usage = [f"Usage: {prog or 'controller'} [flags]; --help explains each. Flags:", *names]
    print("\n".join([str(error), *(usage if error.code == 2 else [])]), file=sys.stderr)
    raise SystemExit(error.code)
