"""Flags as people write them in manifests: Go's syntax, our answers."""

import pytest

from shared.runtime.flags import Address, Flag, change, describe, feature_gates, parse, unheeded
from shared.runtime.process_flags import COMMON, COMMON_GATES

STRICT = "StrictPostBuildSubstitutions"
GATES = feature_gates({**COMMON_GATES, STRICT: True}, heeded=[STRICT])
FLAGS = (
    *COMMON,
    Flag("override-manager", "OVERRIDE_MANAGER", [], "list", "Field managers to take over from."),
    Flag("no-remote-bases", "NO_REMOTE_BASES", False, "bool", "Refuse remote bases."),
    Flag("insecure", "INSECURE", False, "bool", "Let anything pass.", always=False),
    GATES,
)

READ = {
    "nothing given": ([], {}, {"concurrent": 4, "metrics-addr": Address("", 8080)}),
    "with an equals sign": (["--concurrent=8"], {}, {"concurrent": 8}),
    "as two arguments": (["--concurrent", "8"], {}, {"concurrent": 8}),
    "a value with an equals sign": (["--watch-label-selector=a=b"], {}, {"watch-label-selector": "a=b"}),
    "a negated selector": (["--watch-label-selector", "!k"], {}, {"watch-label-selector": "!k"}),
    "given twice, the last counts": (["--concurrent=8", "--concurrent=9"], {}, {"concurrent": 9}),
    "a switch": (["--no-remote-bases"], {}, {"no-remote-bases": True}),
    "a switch turned off": (["--watch-all-namespaces=false"], {}, {"watch-all-namespaces": False}),
    "a switch in Go's short form": (["--no-remote-bases=T"], {}, {"no-remote-bases": True}),
    "a duration": (["--max-retry-delay=1m30s"], {}, {"max-retry-delay": 90.0}),
    "a default duration": ([], {}, {"min-retry-delay": 0.75}),
    "an address": (["--metrics-addr=127.0.0.1:0"], {}, {"metrics-addr": Address("127.0.0.1", 0)}),
    "an IPv6 address": (["--metrics-addr=[::1]:80"], {}, {"metrics-addr": Address("::1", 80)}),
    "a server turned off": (["--metrics-addr=0"], {}, {"metrics-addr": None}),
    "a number with a fraction": (["--kube-api-qps=12.5"], {}, {"kube-api-qps": 12.5}),
    "a list by commas and repetition": (
        ["--override-manager=a,b", "--override-manager=c"], {}, {"override-manager": ["a", "b", "c"]}
    ),
    "a gate": (
        ["--feature-gates=StrictPostBuildSubstitutions=false"], {},
        {"feature-gates": {**COMMON_GATES, STRICT: False}},
    ),
    "the environment": ([], {"CONCURRENT": "3"}, {"concurrent": 3}),
    "an empty variable is not set": ([], {"CONCURRENT": ""}, {"concurrent": 4}),
    "the flag wins over the environment": (["--concurrent=8"], {"CONCURRENT": "3"}, {"concurrent": 8}),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "environ", "expected"), READ.values(), ids=READ)
def test_values(argv: list[str], environ: dict[str, str], expected: dict[str, object]) -> None:
    values = parse(FLAGS, argv, environ)
    assert {name: values[name] for name in expected} == expected
    assert values.keys() == {flag.name for flag in FLAGS}


REFUSED = {
    "an unknown flag": (["--concurent=1"], {}, 2, "unknown flag: --concurent; did you mean --concurrent?"),
    "a flag without its value": (["--concurrent"], {}, 2, "flag needs an argument: --concurrent"),
    "a word for a number": (["--concurrent=many"], {}, 2, "invalid value 'many' for --concurrent"),
    "a word for a switch": (["--no-remote-bases=maybe"], {}, 2, "use true or false"),
    "a switch with a stray value": (["--no-remote-bases", "false"], {}, 2, "--flag=false"),
    "a bad duration": (["--max-retry-delay=15"], {}, 2, "is not a duration"),
    "a bad address": (["--metrics-addr=8080"], {}, 2, "use host:port"),
    "a bad level": (["--log-level=warn"], {}, 2, "use one of trace, debug, info, error"),
    "a bad variable": ([], {"CONCURRENT": "many"}, 2, "environment variable CONCURRENT"),
    "an unknown gate": (["--feature-gates=Magic=true"], {}, 1, "unknown feature gate 'Magic'"),
    "a gate without a value": (["--feature-gates=CacheSecretsAndConfigMaps"], {}, 2, "missing value"),
    "one dash": (["-concurrent=1"], {}, 2, "unexpected argument '-concurrent=1'"),
}


@pytest.mark.parametrize(("argv", "environ", "code", "says"), REFUSED.values(), ids=REFUSED)
def test_refusals(
    argv: list[str], environ: dict[str, str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(FLAGS, argv, environ, prog="source-controller")
    error = capsys.readouterr().err
    assert stopped.value.code == code
    assert says in error.splitlines()[0]
    assert ("Usage: source-controller" in error) == (code == 2)


UNHEEDED = {
    "nothing set": ([], {}, []),
    "a heeded flag": (["--concurrent=8"], {}, []),
    "one of Flux's that we need not": (["--kube-api-burst=9"], {}, ["kube-api-burst"]),
    "set by its variable": ([], {"KUBE_API_QPS": "9"}, ["kube-api-qps"]),
    "a gate that does nothing": (
        ["--feature-gates=CacheSecretsAndConfigMaps=true,StrictPostBuildSubstitutions=false"], {},
        ["feature-gates=CacheSecretsAndConfigMaps"],
    ),
    "the value that is always in force": (["--insecure=false"], {}, []),
    "another value than the one in force": (["--insecure"], {}, ["insecure=true"]),
    "another value by its variable": ([], {"INSECURE": "true"}, ["insecure=true"]),
    "a gate left as it was": (["--feature-gates=CacheSecretsAndConfigMaps=false"], {}, []),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "environ", "names"), UNHEEDED.values(), ids=UNHEEDED)
def test_flags_that_change_nothing_are_named(
    argv: list[str], environ: dict[str, str], names: list[str]
) -> None:
    assert unheeded(FLAGS, argv, environ) == names


def test_help_teaches_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(FLAGS, ["--concurrent=8", "--help"], {}, prog="source-controller", about="Fetches.")
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    for flag in FLAGS:
        assert f"--{flag.name}" in text
        assert f"Environment: {flag.env}." in text.replace("\n      ", " ")
    assert "Default 750ms" in text
    assert "Let anything pass. Always false here" in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_names_and_variables_are_unique() -> None:
    assert len({flag.name for flag in FLAGS}) == len({flag.env for flag in FLAGS}) == len(FLAGS)


def test_a_controller_has_its_own_default() -> None:
    assert parse(change(COMMON, "concurrent", default=2), [], {})["concurrent"] == 2
    assert "Default 2." in describe(change(COMMON, "concurrent", default=2))
    with pytest.raises(KeyError):
        change(COMMON, "concurent", default=2)
