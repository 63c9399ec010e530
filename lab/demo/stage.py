"""Where the demo happens: a person's clone of the repository, kubectl, git, and looks at the API server."""

import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lab.apiclient import ApiClient, ApiRefused
from lab.demo.remarks import Command, Edit, Note, Quote, Remark
from lab.processes import clean_environment
from lab.stack import Lab
from lab.tools import Tools
from lab.worktree import git

_TIMEOUT_S = 60.0  # each wait takes a second or two; a busy machine takes longer
_POLL_S = 0.02
# An empty clone starts on `main` also where git's own default is still another.
_ON_MAIN = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "init.defaultBranch", "GIT_CONFIG_VALUE_0": "main"}

T = TypeVar("T")


class StepFailed(Exception):
    """A step did not go as it should; the message says what was seen instead."""


class NotYet(Exception):
    """A look did not see what is waited for; the message says what it saw."""


class Stage:
    """Args:
    lab: may be started later than this is made. folder: an empty one, for the clone.
    tell: gets every command before it is run.
    """

    def __init__(self, lab: Lab, tools: Tools, folder: Path, tell: Callable[[Remark], None]) -> None:
        self.lab = lab
        self.tell = tell
        self._tools = tools
        self._home = folder
        self.clone = folder / "shop"
        self.app_before_mistake: object = None  # set by the step that makes it, for the one after
        self._client: ApiClient | None = None
        self._acted_s = 0.0
        self._events_before: set[tuple[str, str]] = set()

    @property
    def client(self) -> ApiClient:
        if self._client is None:
            self._client = self.lab.place.client()
        return self._client

    # --- what a person does; afterwards `since` counts ---

    def kubectl(self, *args: str) -> None:
        """Run kubectl in the clone, and quote what it says. Raises StepFailed."""
        self.tell(Command(f"kubectl {shlex.join(args)}"))
        self._events_before = self._event_versions()
        ran = subprocess.run(
            [self._tools.path("kubectl"), *args],
            cwd=self.clone,
            env=clean_environment(self._home, {"KUBECONFIG": str(self.lab.place.kubeconfig)}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        self._acted_s = time.monotonic()
        if ran.returncode != 0:
            raise StepFailed(f"kubectl ended with {ran.returncode}: {ran.stderr.strip()}")
        self.quote("", ran.stdout.strip())

    def git(self, *args: str) -> None:
        """Run git in the clone, or, to make it, beside. Raises GitFailed."""
        self.tell(Command(f"git {shlex.join(args)}"))
        git(self.clone if self.clone.exists() else self._home, *args, environment=_ON_MAIN)
        self._acted_s = time.monotonic()

    def edit(self, name: str, before: str, after: str | None) -> None:
        """Change the one line of a file that is `before`, apart from white space around it; None removes it.

        Raises:
            StepFailed: there is no such line, or more than one.
        """
        path = self.clone / name
        lines = path.read_text().splitlines()
        found = [number for number, line in enumerate(lines) if line.strip() == before]
        if len(found) != 1:
            raise StepFailed(f"{name} has {len(found)} lines '{before}' where the demo needs one")
        line = lines[found[0]]
        lines[found[0] : found[0] + 1] = [] if after is None else [line.replace(before, after)]
        path.write_text("\n".join(lines) + "\n")
        self.tell(Edit(name, before, after))

    def note(self, text: str) -> None:
        self.tell(Note(text))

    def quote(self, who: str, text: str) -> None:
        self.tell(Quote(who, text))

    # --- what is seen ---

    def head(self) -> str:
        return git(self.clone, "rev-parse", "HEAD")

    def since(self) -> float:
        """Seconds since the last command of a person returned."""
        return time.monotonic() - self._acted_s

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """Look again and again until something true is seen, and return that. No answer counts as `NotYet`.

        Raises:
            StepFailed: not within a minute; names `what` and what was seen last.
        """
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                seen: T | Exception | None = look()
            except (NotYet, OSError, ApiRefused) as error:
                seen = error
            if seen and not isinstance(seen, Exception):
                return seen
            if time.monotonic() > deadline:
                raise StepFailed(f"not within {_TIMEOUT_S:g} s: {what}; seen instead: {str(seen)[:500]}")
            time.sleep(_POLL_S)

    def event(self, text: str) -> str | None:
        """The line of a Kubernetes event, newer than the last kubectl command, that starts with `text`."""
        for event in self._events():
            if _version(event) in self._events_before:
                continue
            for line in str(event.get("message", "")).splitlines():
                if line.startswith(text):
                    return line
        return None

    def _events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/api/v1/namespaces/default/events")["items"]
        return found

    def _event_versions(self) -> set[tuple[str, str]]:
        return {_version(event) for event in self._events()}


def _version(event: dict[str, Any]) -> tuple[str, str]:
    return event["metadata"]["uid"], event["metadata"]["resourceVersion"]
