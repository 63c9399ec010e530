"""Addresses and references of a GitRepository that are meant to be options, programs or files (A06).

A source with an honest artifact gets each of them, and the honest address again.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from lab.apiclient import ApiRefused
from tests.attacks.bystanders import Bystanders, Stage
from tests.harness.manifests import config_map, secret
from tests.harness.story import Object, Story, conditions


@dataclass(frozen=True, slots=True)
class World:
    """A source `app` with a password, and a Kustomization of it."""

    story: Story
    bystanders: Bystanders
    commit: str

    def change(self, **spec: object) -> bool:
        """Whether the API server's schema lets it pass. SENTINEL is a file to make, HOST the listener."""
        text = json.dumps(spec).replace("SENTINEL", str(self.bystanders.outside / "pwned"))
        text = text.replace("HOST", self.bystanders.listener.address)
        try:
            self.story.respec("app", kind="GitRepository", **json.loads(text))
        except ApiRefused as refusal:
            if refusal.status != 422:
                raise
            return False
        return True

    def refused(self, reason: str) -> Object:
        """The change is; nothing that was published or applied goes. Back to what is honest."""
        self.bystanders.go_on()
        item = self.story.failed("app", reason, kind="GitRepository")
        assert item["status"]["artifact"]["revision"] == f"main@sha1:{self.commit}", "the old artifact stays"
        assert self.story.data("a") == {"k": "v"}
        url = self.story.git.url(self.story.repository_name)
        self.story.respec("app", kind="GitRepository", url=url, ref={**_NO_REF, "branch": "main"})
        self.story.ready("app", self.commit, kind="GitRepository")
        return item


_NO_REF: dict[str, str | None] = dict.fromkeys(("branch", "tag", "name", "semver", "commit"))


@pytest.fixture(scope="module")
def world(stage: Stage, bystanders: Bystanders) -> Iterator[World]:
    story = Story.begin(stage.cluster, stage.git, "addresses", stage.controllers.source.storage)
    bystanders.stories.append(story)
    password = bystanders.hide("password for a Git server")
    story.create("Secret", "password", secret("password", username="u", password=password))
    commit = story.start({"app/a.yaml": [config_map("a", story.namespace, k="v")]})
    story.respec("app", kind="GitRepository", secretRef={"name": "password"})
    yield World(story, bystanders, commit)
    story.end()


URLS = {
    "an option as an SSH host": "ssh://-oProxyCommand=touch%20SENTINEL/x",
    "an option behind a user": "ssh://git@-oProxyCommand=touch%20SENTINEL/x",
    "an option as an HTTP host": "http://-x/y",
    "an option behind a password": "http://u:hunter22@-oProxyCommand=touch%20SENTINEL/x",
    "no host": "http:///etc/passwd",
    "a port that is none": "http://127.0.0.1:x/y",
    "a helper of git's": "ext::sh -c touch% SENTINEL",
    "a transport helper": "git::--upload-pack=touch SENTINEL",
    "a file": "file:///etc",
    "a path": "/etc",
    "the scp form": "git@-oProxyCommand=touch:x",
    "git's own protocol": "git://HOST/x",
    "another case": "FILE:///etc",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a06_an_address_is_checked_before_it_is_used(world: World, url: str) -> None:
    if not world.change(url=url):
        return
    item = world.refused("URLInvalid")
    assert conditions(item)["Stalled"]["reason"] == "URLInvalid"
    assert "hunter22" not in json.dumps(item["status"]), "no user part of an address is said"


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
def test_a06_a_reference_is_data(world: World, ref: Mapping[str, str]) -> None:
    if world.change(ref={**_NO_REF, **ref}):
        world.refused("GitOperationFailed")
