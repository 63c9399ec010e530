"""Who must not notice that an attack is under way, and what an attacker is after.

A module that attacks running controllers has one of these for all of its attacks (the fixture
`bystanders`). A neighbour, another tenant, commits while each of them is under way. After each test,
nothing was written where the attacks point, nobody called the listener, and the controllers live. At the
module's end, the neighbour's commits took no longer than before, the processes' memory is back to its
level, and no planted secret is in status, events, logs, metrics, arguments, environment, caches or store.
"""

import gzip
import json
import secrets
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lab.controllers import Controller
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.usage import is_alive, rss_bytes_of
from tests.attacks.listener import Listener
from tests.harness.canaries import Canaries, forms
from tests.harness.manifests import config_map
from tests.harness.story import Story
from tests.harness.wait import eventually
from tests.integration.conftest import Pair

COMMIT_S = 20.0  # a neighbour's commit, from push to Ready; a quarter of a second is usual
EVERY_S = 3.0  # most attacks are answered sooner, and a neighbour's commit costs as much as one
# The rule is twice as long as usual. A second more is for two shared cores: half of all commits may be
# slower.
SLOWER, NOISE_S = 2.0, 1.0
# What a process may hold more at the end: caches, and memory that a runtime keeps for its next use.
GROWTH_BYTES = 48 << 20
LEVEL_S = 20.0  # Go gives memory back with the next collection
_PROGRAMS = (
    b"-m\0source_controller\0",
    b"source_controller.worker",
    b"-m\0kustomize_controller\0",
    b"kustomize_controller.worker",
    b"engine",
)


@dataclass(frozen=True, slots=True)
class Stage:
    cluster: ControlPlane
    git: GitServer
    controllers: Pair


@dataclass(slots=True, kw_only=True)
class Bystanders:
    """Of the attacks of one module.

    Attributes:
        outside: a folder that is none of the attackers' business, with a file that holds `secret`.
        secret: may be nowhere at all, as others that `hide` gives.
        password: is in the attackers' own repository, so it may be in caches and store.
        stories: whose statuses and events are searched; an attacker's story joins them.
    """

    controllers: Pair
    neighbour: Story
    canaries: Canaries
    listener: Listener
    outside: Path
    secret: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    stories: list[Story] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list, repr=False)
    usual_s: float = 0.0
    last_s: float = 0.0  # when the neighbour's last commit arrived
    meanwhile_s: list[float] = field(default_factory=list)
    level_bytes: dict[tuple[int, bytes], int] = field(default_factory=dict)
    listed: dict[Path, list[str]] = field(default_factory=dict)

    @classmethod
    def gather(cls, stage: Stage, canaries: Canaries, listener: Listener, outside: Path) -> "Bystanders":
        """The neighbour is at home, and what is usual has been measured."""
        namespace = f"neighbour-{secrets.token_hex(3)}"
        store = stage.controllers.source.storage
        neighbour = Story.begin(stage.cluster, stage.git, namespace, store)
        made = cls(
            controllers=stage.controllers,
            neighbour=neighbour,
            canaries=canaries,
            listener=listener,
            outside=outside,
            password=quote(canaries.plant("password in a URL", in_git=True), safe=""),
            stories=[neighbour],
        )
        made.secret = made.hide("file outside of the source")
        made.secret_file.write_text(f"k: [{made.secret}")
        neighbour.start({"app/a.yaml": [config_map("a", namespace, n="0")]})
        made.usual_s = statistics.median(made._commit_s() for _ in range(3))
        made.level_bytes = made._resident()
        made.listed = {folder: _names(folder) for folder in made._places()}
        return made

    @property
    def secret_file(self) -> Path:
        return self.outside / "secret.yaml"

    def hide(self, name: str) -> str:
        """Plant a secret that is in nobody's repository."""
        self.hidden.append(self.canaries.plant(name))
        return self.hidden[-1]

    def go_on(self) -> None:
        """To be called while an attack is under way: the neighbour's next commit arrives, if it is time for
        one."""
        if time.monotonic() > self.last_s + EVERY_S:
            self.meanwhile_s.append(self._commit_s())
            self.last_s = time.monotonic()

    def check_unharmed(self) -> None:
        """What holds after each attack, and costs next to nothing to look at."""
        ended = [each.package for each in self._both() if not is_alive(each.pid)]
        assert ended == [], "a controller ended"
        assert self.listener.calls == 0, "somebody called the listener"
        assert _names(self.outside) == [self.secret_file.name], "an attack wrote where it points"

    def check_harmless(self) -> None:
        """What holds after all attacks."""
        self.meanwhile_s.append(self._commit_s())
        self.check_unharmed()
        written = {str(place): _names(place) for place in self.listed}
        assert written == {str(place): names for place, names in self.listed.items()}
        meanwhile_s = statistics.median(self.meanwhile_s)
        assert meanwhile_s < SLOWER * self.usual_s + NOISE_S, (self.usual_s, self.meanwhile_s)
        eventually(self._is_level, LEVEL_S, f"all memory is back to its level, {self.level_bytes}")
        self._search_files()
        self._search_processes()
        self._search_cluster()
        assert not self.canaries.findings, self.canaries.findings

    def remove(self) -> None:
        for story in self.stories:
            story.remove()

    def _commit_s(self) -> float:
        began = time.monotonic()
        number = secrets.token_hex(4)
        commit = self.neighbour.push({"app/a.yaml": [config_map("a", self.neighbour.namespace, n=number)]})
        self.neighbour.ready("app", commit, timeout_s=COMMIT_S)
        assert self.neighbour.data("a") == {"n": number}
        return time.monotonic() - began

    def _both(self) -> tuple[Controller, Controller]:
        return self.controllers.source, self.controllers.kustomize

    def _places(self) -> Iterator[Path]:
        """Where a path that goes up too far, or begins with a slash, ends."""
        yield Path("/")
        for controller in self._both():
            yield controller.folder

    def _resident(self) -> dict[tuple[int, bytes], int]:
        return {
            (controller.pid, program): held
            for controller in self._both()
            for program in _PROGRAMS
            if (held := rss_bytes_of(controller.pid, program))
        }

    def _is_level(self) -> bool:
        now = self._resident()
        grown = {
            program.decode(): f"{was >> 20} MiB, now {now.get((pid, program), 0) >> 20} MiB"
            for (pid, program), was in self.level_bytes.items()
            if now.get((pid, program), 0) - was > GROWTH_BYTES
        }
        if grown:
            raise AssertionError(json.dumps(grown))
        return True

    def _search_files(self) -> None:
        """Logs say nothing that was planted; caches, checkpoints and store hold nothing from outside."""
        encoded = [form for one in self.hidden for _, form in forms(one.encode())]
        for controller in self._both():
            self.canaries.search(f"log of {controller.package}", controller.log.read_bytes())
            for path in controller.folder.rglob("*"):
                content = _read(path)
                found = [form for form in encoded if form in content]
                assert found == [], f"{path} holds something that is no tenant's"

    def _search_processes(self) -> None:
        for controller in self._both():
            self.canaries.search(f"metrics of {controller.package}", controller.metrics())
            for pid in controller.living():
                for what in ("cmdline", "environ"):
                    content = _read(Path(f"/proc/{pid}/{what}"))
                    self.canaries.search(f"{what} of {controller.package}", content)

    def _search_cluster(self) -> None:
        for story in self.stories:
            for kind in ("Kustomization", "GitRepository"):
                said = [item.get("status") for item in story.all_of(kind)]
                self.canaries.search(f"{kind}s of {story.namespace}", json.dumps(said))
            self.canaries.search(f"events of {story.namespace}", json.dumps(story.all_of("Event")))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _read(path: Path) -> bytes:
    """The content, of an archive that which is packed; none of a folder, or of what is gone."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    return gzip.decompress(content) if path.name.endswith(".tar.gz") else content
