"""A tenant who attacks and one who does not, on a real control plane.

All attacks of a file are folders of one repository, each with a Kustomization of its own. They begin with an
honest commit, so that each has something to lose; the second commit brings all attacks at once. What holds of
every attack is checked here: what was applied stays, the neighbour goes on, nobody calls the listener,
nothing is written where the attacks point, and no planted secret is said.
"""

import gzip
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.usage import is_alive
from tests.attacks.listener import Listener
from tests.harness.canaries import Canaries
from tests.harness.manifests import config_map
from tests.harness.story import Story, conditions
from tests.integration.conftest import Pair

NEIGHBOUR_S = 10.0  # from a neighbour's push to its Ready; about one second is usual
ANSWER_S = 20.0  # all attacks of a file are built one after the other before the last is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One folder. In its texts, OUTSIDE is a file with a secret, HOST the listener, SENTINEL a file to make.

    Attributes:
        says: parts of the message; none: it is harmless, and makes the ConfigMap `makes` with the data
        `gives`. links: path in the folder -> target.
    """

    files: Mapping[str, str | bytes] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    gives: Mapping[str, str] | None = None
    makes: str = "c"
    spec: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    cluster: ControlPlane
    git: GitServer
    controllers: Pair


@dataclass(slots=True)
class Scene:
    story: Story
    neighbour: Story
    controllers: Pair
    canaries: Canaries
    listener: Listener
    outside: Path  # a folder that is none of the attackers' business
    secret: str
    password: str = field(repr=False)
    first: str = ""  # the honest commit
    second: str = ""
    numbers: dict[str, int] = field(default_factory=dict)  # attack -> its folder's number
    pids: tuple[int, ...] = ()

    @classmethod
    def set(cls, stage: Stage, canaries: Canaries, listener: Listener, folder: Path) -> "Scene":
        token = secrets.token_hex(3)
        controllers = stage.controllers
        store = controllers.source.storage
        secret = canaries.plant("file outside of the source")
        (folder / "secret.yaml").write_text(f"k: [{secret}")
        scene = cls(
            story=Story.begin(stage.cluster, stage.git, f"attacker-{token}", store),
            neighbour=Story.begin(stage.cluster, stage.git, f"neighbour-{token}", store),
            controllers=controllers,
            canaries=canaries,
            listener=listener,
            outside=folder,
            secret=secret,
            password=quote(canaries.plant("password in a URL"), safe=""),
            pids=(controllers.source.pid, controllers.kustomize.pid),
        )
        scene.neighbour.start({"app/a.yaml": [config_map("a", scene.neighbour.namespace, n="1")]})
        return scene

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
        self.check_neighbour()

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
        item = self.story.failed(folder, "BuildFailed", timeout_s=ANSWER_S)
        message = conditions(item)["Ready"]["message"]
        assert [part for part in attack.says if part not in message] == [], message
        assert "/tmp/" not in message.replace(str(self.outside), ""), message  # noqa: S108  # no folder of ours
        assert item["status"]["lastAppliedRevision"] == f"main@sha1:{self.first}"
        assert item["status"]["lastAttemptedRevision"] == f"main@sha1:{self.second}"
        assert self.story.find("ConfigMap", folder), "what was applied before the attack stays"
        return item

    def check_neighbour(self) -> None:
        """The other tenant's next commit arrives as if nothing were."""
        began = time.monotonic()
        number = secrets.token_hex(4)
        commit = self.neighbour.push({"app/a.yaml": [config_map("a", self.neighbour.namespace, n=number)]})
        self.neighbour.ready("app", commit)
        assert self.neighbour.data("a") == {"n": number}
        assert time.monotonic() - began < NEIGHBOUR_S

    def check_harmless(self) -> None:
        """What holds after all attacks."""
        self.check_neighbour()
        assert all(is_alive(pid) for pid in self.pids), "a controller ended"
        assert self.listener.calls == 0, "somebody called the listener"
        assert sorted(path.name for path in self.outside.iterdir()) == ["secret.yaml"]
        for archive in (self.controllers.source.storage / "gitrepository").rglob("*.tar.gz"):
            assert self.secret.encode() not in gzip.decompress(archive.read_bytes())
        for controller in (self.controllers.source, self.controllers.kustomize):
            for path in controller.folder.rglob("*"):  # log, store, caches, checkpoints
                assert self.secret.encode() not in _read(path), path
            self.canaries.search(f"metrics of {controller.package}", controller.metrics())
            for pid in controller.living():
                for what in ("cmdline", "environ"):
                    self.canaries.search(
                        f"{what} of {controller.package}", _read(Path(f"/proc/{pid}/{what}"))
                    )
        for story in (self.story, self.neighbour):
            for kind in ("Kustomization", "GitRepository", "Event"):
                said = story.cluster.client.text("GET", story.path(kind))
                self.canaries.search(f"{kind}s of {story.namespace}", said)
        assert not self.canaries.findings, self.canaries.findings

    def remove(self) -> None:
        self.story.remove()
        self.neighbour.remove()

    def _filled(self, content: str | bytes) -> str | bytes:
        return self._filled_text(content) if isinstance(content, str) else content

    def _filled_text(self, text: str) -> str:
        places = {
            "OUTSIDE": str(self.outside / "secret.yaml"),
            "SENTINEL": str(self.outside / "pwned"),
            "USER": f"user:{self.password}",
            "HOST": self.listener.address,
        }
        for word, place in places.items():
            text = text.replace(word, place)
        return text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process ended
        return b""
