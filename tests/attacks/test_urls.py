"""Addresses and references of a GitRepository that are meant to be options, programs or files (A06)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab.apiclient import ApiRefused
from tests.attacks.scene import Stage
from tests.harness.manifests import config_map
from tests.harness.story import Story, conditions


@pytest.fixture(scope="module")
def world(stage: Stage) -> Iterator[Story]:
    story = Story.begin(stage.cluster, stage.git, "addresses", stage.controllers.source.storage)
    story.push({"app/a.yaml": [config_map("a", story.namespace)]})
    yield story
    story.end()


def created(world: Story, **spec: object) -> bool:
    """Whether the API server's schema lets it pass."""
    try:
        world.source("hostile", **spec)
    except ApiRefused as refusal:
        if refusal.status != 422:
            raise
        return False
    return True


URLS = {
    "an option as an SSH host": "ssh://-oProxyCommand=touch%20SENTINEL/x",
    "an option behind a user": "ssh://git@-oProxyCommand=touch%20SENTINEL/x",
    "an option as an HTTP host": "http://-x/y",
    "no host": "http:///etc/passwd",
    "a port that is none": "http://127.0.0.1:x/y",
    "a helper of git's": "ext::sh -c touch% SENTINEL",
    "a transport helper": "git::--upload-pack=touch SENTINEL",
    "a file": "file:///etc",
    "a path": "/etc",
    "the scp form": "git@-oProxyCommand=touch:x",
    "git's own protocol": "git://127.0.0.1/x",
    "another case": "FILE:///etc",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a06_an_address_is_checked_before_it_is_used(world: Story, url: str, tmp_path: Path) -> None:
    sentinel = tmp_path / "pwned"
    if not created(world, url=url.replace("SENTINEL", str(sentinel))):
        return
    item = world.failed("hostile", "URLInvalid", kind="GitRepository")
    assert conditions(item)["Stalled"]["reason"] == "URLInvalid"
    world.delete("GitRepository", "hostile")
    world.gone("GitRepository", "hostile")
    assert not sentinel.exists()


REFERENCES: Mapping[str, Mapping[str, str]] = {
    "an option as a branch": {"branch": "--upload-pack=touch SENTINEL"},
    "an option as a tag": {"tag": "-x"},
    "an option as a name": {"name": "--exec=touch SENTINEL"},
    "a way out as a name": {"name": "refs/heads/../../../etc/passwd"},
    "an option as a version": {"semver": "--help"},
    "a line break in a branch": {"branch": "main\n0032want x"},
    "a NUL in a tag": {"tag": "v1\0x"},
    "a commit that is a path": {"commit": "../../../../etc/passwd"},
}


@pytest.mark.parametrize("ref", REFERENCES.values(), ids=REFERENCES)
def test_a06_a_reference_is_data(world: Story, ref: Mapping[str, str], tmp_path: Path) -> None:
    sentinel = tmp_path / "pwned"
    filled = {key: value.replace("SENTINEL", str(sentinel)) for key, value in ref.items()}
    if not created(world, ref=filled):
        return
    item = world.failed("hostile", "GitOperationFailed", kind="GitRepository")
    assert item["status"].get("artifact") is None
    world.delete("GitRepository", "hostile")
    world.gone("GitRepository", "hostile")
    assert not sentinel.exists()
