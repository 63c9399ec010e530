"""Version ranges: the answers of the library that Flux uses (tests/data/semver); which tags count."""

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from shared.git.semver import Constraint, SemverError, Version, parse_release

DATA = Path(__file__).parents[3] / "data" / "semver"
VERSIONS = (DATA / "versions.txt").read_text().split()


def ranges() -> list[tuple[str, str]]:
    with (DATA / "ranges.tsv").open(newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        return [(text, allowed) for text, allowed in rows]


@pytest.mark.parametrize(("text", "allowed"), ranges(), ids=[repr(text) for text, _ in ranges()])
def test_a_range_allows_what_it_allows_in_flux(text: str, allowed: str) -> None:
    if allowed == "error":
        with pytest.raises(SemverError):
            Constraint.parse(text)
        return
    constraint = Constraint.parse(text)
    assert [version for version in VERSIONS if constraint.allows(known(version))] == allowed.split()


TAGS = {
    "a plain version": ("1.2.3", Version(1, 2, 3)),
    "a leading v": ("v1.2.3", Version(1, 2, 3)),
    "a pre-release": ("1.2.3-rc.1", Version(1, 2, 3, "rc.1")),
    "build metadata": ("1.2.3+b.7", Version(1, 2, 3, "", "b.7")),
    "two parts only": ("1.2", None),
    "two parts and a dotted pre-release": ("1.2-rc.1", None),
    "a word": ("latest", None),
    "a prefix": ("release-1.2.3", None),
    "four parts": ("1.2.3.4", None),
}


@pytest.mark.parametrize(("tag", "version"), TAGS.values(), ids=TAGS)
def test_which_tags_are_versions(tag: str, version: Version | None) -> None:
    assert parse_release(tag) == version


def test_precedence_is_that_of_semantic_versioning() -> None:
    """The chain of Semantic Versioning 2.0.0, 11.4.4."""
    chain = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1", ""]
    versions = [Version(1, 0, 0, prerelease) for prerelease in chain]
    assert all(low.precedence < high.precedence for low, high in pairwise(versions))


def known(text: str) -> Version:
    version = parse_release(text)
    assert version is not None
    return version
