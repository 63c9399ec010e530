"""Planted secrets, and the search for them in everything that a test session puts out.

A test plants a canary where a user would keep a secret. At the end of the session nothing that people, logs
or other systems can read may hold it, in any of the forms in which it could have slipped through.
"""

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Finding:
    canary: str  # what it was planted as
    form: str
    place: str

    def __str__(self) -> str:
        return f"the secret '{self.canary}' appears in {self.place} ({self.form})"


@dataclass(slots=True)
class Canaries:
    """The planted secrets of a session and the places to search.

    All of them begin alike, so that a place without any is known to be clean after one look for the
    beginning.
    """

    _beginning: str = field(default_factory=lambda: f'Ca"{secrets.token_hex(8)}', repr=False)
    _planted: dict[str, str] = field(default_factory=dict, repr=False)
    _in_git: set[str] = field(default_factory=set)
    _places: dict[str, Callable[[], str | bytes]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def plant(self, name: str, *, in_git: bool = False) -> str:
        """A new secret, `name` in findings. Printable; URLs, JSON and base64url write it differently.

        Args:
            in_git: its user keeps it in a Git repository, so that archives may have it.
        """
        secret = f"{self._beginning}{secrets.token_hex(8)}/+%&~~~~~\\"
        name = f"{name} #{len(self._planted) + 1}"
        self._planted[name] = secret
        if in_git:
            self._in_git.add(name)
        return secret

    def watch(self, place: str, read: Callable[[], str | bytes]) -> None:
        """Search what `read` gives at the end of the session, or when `search_watched` is called."""
        self._places[place] = read

    def watch_file(self, path: Path) -> None:
        self.watch(str(path), lambda: path.read_bytes() if path.exists() else b"")

    def search(self, place: str, content: str | bytes, *, is_archive: bool = False) -> list[Finding]:
        """Search now; findings are also kept for the end of the session. What is kept in Git may be in an
        archive."""
        raw = content.encode() if isinstance(content, str) else content
        if not any(encoded in raw for _, encoded in forms(self._beginning.encode())):
            return []
        found = [
            Finding(name, form, place)
            for name, secret in self._planted.items()
            if not (is_archive and name in self._in_git)
            for form, encoded in forms(secret.encode())
            if encoded in raw
        ]
        self.findings += [finding for finding in found if finding not in self.findings]
        return found

    def search_watched(self, prefix: str = "") -> list[Finding]:
        """Search the watched places whose name begins with `prefix`, and watch them no longer."""
        names = [name for name in self._places if name.startswith(prefix)]
        return [finding for name in names for finding in self.search(name, self._places.pop(name)())]


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """The secret as it could appear: raw, hexadecimal, in base64 at any offset, escaped for URLs and JSON."""
    yield "raw", secret
    yield "hexadecimal", secret.hex().encode()
    yield "hexadecimal, upper case", secret.hex().upper().encode()
    for offset in range(3):
        # The bytes before and after share characters with the secret's edges, so the edges are cut off.
        standard = base64.b64encode(b"\0" * offset + secret)
        tail = -(offset + len(secret)) % 3
        middle = standard[(0, 2, 3)[offset] : len(standard) - (0, 2, 3)[tail]]
        yield f"base64 at offset {offset}", middle
        yield f"base64url at offset {offset}", middle.replace(b"+", b"-").replace(b"/", b"_")
    text = secret.decode()
    yield "URL path", quote(text).encode()
    yield "URL component", quote(text, safe="").encode()
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "JSON in JSON", json.dumps(json.dumps(text)[1:-1])[1:-1].encode()
