"""Attacks on the build, on a real control plane.

All attacks of a file are folders of one repository, each with a Kustomization of its own. They begin with an
honest commit, so that each has something to lose; the second commit brings all attacks at once. That what was
applied stays is checked here, for each of them; whom else they must not touch, `bystanders` look after.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.attacks.bystanders import Bystanders, Stage
from tests.harness.manifests import config_map
from tests.harness.story import Story, conditions
from tests.harness.wait import eventually

ANSWER_S = 20.0  # all attacks of a file are built one after the other before the last is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One folder. In its texts, OUTSIDE is a file with a secret, HOST the listener, SENTINEL a file to make.

    Attributes:
        says: parts of the message; none: it is harmless, and makes the ConfigMap `makes` with the data
        `gives`. reason: of the refusal. links: path in the folder -> target.
    """

    files: Mapping[str, str | bytes] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    gives: Mapping[str, str] | None = None
    makes: str = "c"
    reason: str = "BuildFailed"
    spec: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    story: Story
    bystanders: Bystanders
    first: str = ""  # the honest commit
    second: str = ""
    numbers: dict[str, int] = field(default_factory=dict)  # attack -> its folder's number

    @classmethod
    def set(cls, stage: Stage, bystanders: Bystanders) -> "Scene":
        namespace = f"attacker-{secrets.token_hex(3)}"
        story = Story.begin(stage.cluster, stage.git, namespace, stage.controllers.source.storage)
        bystanders.stories.append(story)
        return cls(story, bystanders)

    def play(self, attacks: Mapping[str, Attack]) -> None:
        """The honest commit, and then the one with all attacks."""
        self.numbers = {name: number for number, name in enumerate(attacks)}
        names = [self.name(attack) for attack in attacks]
        self.first = self.story.push({f"{name}/good.yaml": [config_map(name)] for name in names})
        self.story.source()
        for name in names:
            self.story.kustomization(name, targetNamespace=self.story.namespace)
        for name in names:
            self.story.ready(name, self.first, timeout_s=60.0)
        changes: dict[str, str | bytes | None] = {f"{name}/good.yaml": None for name in names}
        for attack_name, attack in attacks.items():
            folder = self.name(attack_name)
            for path, content in attack.files.items():
                changes[f"{folder}/{path}"] = self._filled(content)
            for path, target in attack.links.items():
                link = self.story.repository.path / folder / path
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(self._filled_text(target))
            if not attack.says:
                del changes[f"{folder}/good.yaml"]
            if attack.spec:
                self.story.respec(folder, **attack.spec)
        self.second = self.story.push(changes)
        self.bystanders.go_on()

    def name(self, attack: str) -> str:
        return f"k{self.numbers[attack]}"

    def check(self, name: str, attack: Attack) -> dict[str, Any]:
        """The attack is answered as it should be; gives the Kustomization."""
        folder = self.name(name)
        if not attack.says:
            item = self.story.ready(folder, self.second, timeout_s=ANSWER_S)
            if attack.gives is not None:
                assert self.story.data(attack.makes) == attack.gives
            return item
        # A spec that attacks has failed with the honest commit already.
        what = f"{folder} has been tried at {self.second}"
        eventually(lambda: self._attempted(folder) == f"main@sha1:{self.second}", ANSWER_S, what)
        item = self.story.failed(folder, attack.reason, timeout_s=ANSWER_S)
        message = conditions(item)["Ready"]["message"]
        assert [part for part in attack.says if part not in message] == [], message
        ours = message.replace(str(self.bystanders.outside), "")  # which is the attacker's own word
        assert "/tmp/" not in ours, message  # noqa: S108  # no folder of a controller
        assert item["status"]["lastAppliedRevision"] == f"main@sha1:{self.first}"
        assert self.story.find("ConfigMap", folder), "what was applied before the attack stays"
        return item

    def _attempted(self, folder: str) -> str:
        revision: str = self.story.get("Kustomization", folder)["status"]["lastAttemptedRevision"]
        return revision

    def _filled(self, content: str | bytes) -> str | bytes:
        return self._filled_text(content) if isinstance(content, str) else content

    def _filled_text(self, text: str) -> str:
        places = {
            "OUTSIDE": str(self.bystanders.secret_file),
            "SENTINEL": str(self.bystanders.outside / "pwned"),
            "USER": f"user:{self.bystanders.password}",
            "HOST": self.bystanders.listener.address,
        }
        for word, place in places.items():
            text = text.replace(word, place)
        return text
