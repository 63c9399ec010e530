"""Flux's own command line, run as a person runs it, and what is looked for in its answer.

Answers are compared by line: those that matter, in their order, with other lines in between allowed. Runs of
blanks count as one, for the columns of a table grow with their content; `…` stands for any text, and words in
braces (`{ns}`, `{revision}`) for what only the test knows.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.processes import clean_environment
from lab.tools import Tools

_TIMEOUT_S = 60.0  # of a whole command; the CLI's own is shorter, so that it can say what it waited for
_PATIENCE = "--timeout=40s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One command and its answer. What it tells is on standard error, what it gives on standard output."""

    command: str
    code: int
    told: str
    out: str

    @property
    def lines(self) -> list[str]:
        """What it told, then what it gave; without empty lines and repeated blanks."""
        lines = (" ".join(line.split()) for line in f"{self.told}\n{self.out}".splitlines())
        return [line for line in lines if line]

    def __str__(self) -> str:
        return f"{self.command} ended with {self.code}:\n{self.told}{self.out}"


@dataclass(frozen=True, slots=True)
class Flux:
    """`flux` for one namespace of one cluster. It inherits nothing but PATH: no proxy, no other
    kubeconfig."""

    tools: Tools
    kubeconfig: Path
    home: Path  # an existing folder; the CLI keeps discovery and plugins below it
    namespace: str

    def __call__(self, command: str, *rest: str, stdin: str | None = None) -> Said:
        """Run `flux --namespace=… COMMAND REST…`; `command` is split at blanks, `rest` is not."""
        argv = [*command.split(), *rest]
        ran = subprocess.run(
            [self.tools.path("flux"), f"--namespace={self.namespace}", _PATIENCE, *argv],
            env=clean_environment(self.home, {"KUBECONFIG": str(self.kubeconfig)}),
            cwd=self.home,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        return Said(command=f"flux {' '.join(argv)}", code=ran.returncode, told=ran.stderr, out=ran.stdout)


def expect(said: Said, wanted: Sequence[str], known: Mapping[str, str], *, code: int = 0) -> None:
    """Raises AssertionError: another exit code, or a line of `wanted` that does not stand after the last
    one."""
    assert said.code == code, str(said)
    rest = iter(said.lines)
    for line in wanted:
        pattern = re.compile(re.escape(" ".join(line.format(**known).split())).replace("…", ".*"))
        assert any(pattern.fullmatch(seen) for seen in rest), f"no line '{line.format(**known)}' in: {said}"
