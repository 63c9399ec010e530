"""Manifests that are written for Flux's controllers start ours: every flag is taken, with Flux's default."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from kustomize_controller import settings as kustomize_settings
from shared.runtime.flags import Flag, parse
from source_controller import settings as source_settings

ROWS = csv.DictReader(
    (Path(__file__).parents[2] / "data" / "contract" / "flags.tsv").read_text().splitlines(),
    delimiter="\t",
)
FLAGS: dict[str, Sequence[Flag]] = {
    "source": source_settings.FLAGS,
    "kustomize": kustomize_settings.FLAGS,
}
CASES = {
    f"{controller} --{row['flag']}": (controller, row["flag"], row["default"])
    for row in ROWS
    for controller in row["controllers"].split()
    if controller in FLAGS
}
OTHERWISE = {
    "kustomize --no-remote-bases": "true",  # docs/decisions/0014
}
OURS = {
    "source": {"artifact-max-size", "git-cache-path", "feature-gates"},
    "kustomize": {
        *("artifact-max-size", "build-timeout", "cache-max-size", "cache-path", "engine"),
        *("kustomize-binary", "max-objects", "state-path", "feature-gates"),
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_flag_of_flux_has_its_default(case: str) -> None:
    controller, flag, default = CASES[case]
    name, _, gate = flag.partition("=")
    unset = parse(FLAGS[controller], [], {})
    value = OTHERWISE.get(case, default)
    assert parse(FLAGS[controller], [f"--{flag}={value}"], {})[name] == unset[name]
    assert gate == "" or gate in unset[name]


@pytest.mark.parametrize("controller", FLAGS)
def test_what_flux_has_not_is_listed_here(controller: str) -> None:
    """A misspelt flag would be a flag of ours."""
    theirs = {flag for one, flag, _ in CASES.values() if one == controller}
    assert {flag.name for flag in FLAGS[controller]} - theirs == OURS[controller]
    [gates] = [flag.default for flag in FLAGS[controller] if flag.name == "feature-gates"]
    assert {f"feature-gates={gate}" for gate in gates} <= theirs


def test_what_differs_is_of_a_flag_that_is_there() -> None:
    assert OTHERWISE.keys() <= CASES.keys()
