"""Rules of the fault proxy as data: which request, when, and what happens to it."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.harness.history import READS, WRITES, Target


@dataclass(frozen=True, slots=True)
class Delay:
    """Go on after that long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is reset; the client gets no answer."""


@dataclass(frozen=True, slots=True)
class Kill:
    """kill -9 of a process, and no answer. Normally the client's own."""

    pid: int


@dataclass(frozen=True, slots=True)
class Reply:
    """This answer instead of the server's."""

    status: int
    body: bytes = b"{}"


Do = Delay | Cut | Kill | Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault. Patterns are of the shell's kind ("*" is anything).

    Attributes:
        verb: a verb of `history`, or "read" or "write" for all of them; dry runs count as neither.
        leave_out: a pattern of resources that the rule does not count.
        nth: the match that it strikes, from 1; 0 for each.
        after: False: the server never sees the request. True: the server has done it, and the answer is
            what is lost, late or another.
    """

    do: Do
    verb: str = "*"
    resource: str = "*"
    name: str = "*"
    subresource: str = "*"
    leave_out: str = ""
    nth: int = 1
    after: bool = False

    def fits(self, target: Target) -> bool:
        if self.verb in ("read", "write"):
            verbs = READS if self.verb == "read" else WRITES
            if target.verb not in verbs or target.dry_run:
                return False
        elif not fnmatchcase(target.verb, self.verb):
            return False
        return (
            fnmatchcase(target.resource, self.resource)
            and not (self.leave_out and fnmatchcase(target.resource, self.leave_out))
            and fnmatchcase(target.name, self.name)
            and fnmatchcase(target.subresource, self.subresource)
        )

    def __str__(self) -> str:
        which = f"{self.verb} #{self.nth}" if self.nth else f"every {self.verb}"
        return f"{self.do} {'after' if self.after else 'before'} {which}"


class Counter:
    """The rules in force, and how often each has matched. Used from one thread."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._matches = [0] * len(rules)
        self._rules = rules

    def strikes(self, target: Target) -> list[Rule]:
        """Count the request, and give the rules that strike it, in their order."""
        struck = []
        for place, rule in enumerate(self._rules):
            if rule.fits(target):
                self._matches[place] += 1
                if rule.nth in (0, self._matches[place]):
                    struck.append(rule)
        return struck
