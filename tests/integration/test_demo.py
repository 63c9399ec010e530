"""The demo without a terminal, `up` and `down`: as a person starts them, as processes of their own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.demo.remarks import SUMMARY
from lab.demo.script import STORY
from lab.processes import clean_environment
from lab.stack import PHASES
from lab.tools import Tools
from lab.usage import is_alive, living
from lab.worktree import git
from tests.harness.wait import eventually

_ROOT = Path(__file__).parent.parent.parent
_TIMEOUT_S = 300
_SAID = (  # what the cluster said, which only a real one says
    "| event: Deployment/shop-staging/web configured (spec.replicas changed by 'kubectl')",
    "| event: Service/shop-staging/web created (was deleted)",
    "(base/deployment.yaml:7)",
    "$ kubectl apply -f sync/",
    "$ git push origin main",
)


@pytest.fixture
def environment(tools: Tools, tmp_path: Path) -> dict[str, str]:
    extra = {
        "HEADRACE_TOOLS_DIR": str(tools.folder),
        "XDG_STATE_HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    return clean_environment(tmp_path, extra)


@pytest.fixture
def down(environment: dict[str, str]) -> Iterator[None]:
    """Whatever a test leaves running in the background is ended."""
    yield
    _run("lab.down", environment)


def test_the_demo_shows_every_step(environment: dict[str, str], tmp_path: Path) -> None:
    ran = _run("lab.demo", environment, "--svg", str(tmp_path / "demo.svg"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    titles = [title for title, _ in PHASES] + [step.title for chapter in STORY for step in chapter.steps]
    done = [line for line in lines if line.startswith("ok ")]
    assert [title for title in titles if not any(line[8:].startswith(title) for line in done)] == []
    assert [said for said in _SAID if said not in ran.stdout] == []
    assert re.fullmatch(rf"All {len(titles)} steps went well, \d+ s in all\.", lines[-1])
    claims = [step.claim for chapter in STORY for step in chapter.steps if step.claim]
    summary = "\n".join(lines[lines.index(SUMMARY) :])
    assert [
        claim for claim in claims if not re.search(rf"ok +{re.escape(claim)} +\d+\.\d\d s", summary)
    ] == []
    assert _left_behind(tmp_path) == []
    picture = (tmp_path / "demo.svg").read_text()
    assert str(tmp_path) not in picture
    assert str(_ROOT) not in picture


def test_a_step_that_fails_ends_the_demo(environment: dict[str, str], tmp_path: Path) -> None:
    """Without kubectl: the start goes well, then it is said what is missing, and the rest is not run."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in Path(environment["HEADRACE_TOOLS_DIR"]).iterdir():
        if tool.name != "kubectl":
            (tools / tool.name).symlink_to(tool.resolve())
    ran = _run("lab.demo", environment | {"HEADRACE_TOOLS_DIR": str(tools)})
    assert ran.returncode == 1
    assert re.search(r"FAILED +Objects made +.*kubectl' is missing", ran.stdout)
    assert re.search(r"not run +kubectl scale", ran.stdout)
    assert "Rolled out" not in ran.stdout.partition("Summary")[0]
    assert "Nothing is left running. The logs: " in ran.stdout


# A shell starts what it puts in the background with SIGINT ignored, and that is inherited: a terminal does
# not.
_AS_IN_THE_FOREGROUND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "lab.demo"])
"""


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("A cluster on this machine", signal.SIGINT),
        ("A cluster on this machine", signal.SIGTERM),
        ("A cluster on this machine", signal.SIGKILL),
        ("Objects made", signal.SIGINT),
    ],
    ids=["Ctrl-C while it starts", "SIGTERM while it starts", "kill -9 while it starts", "Ctrl-C at work"],
)
def test_an_interrupted_demo_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, at: str, number: signal.Signals
) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", _AS_IN_THE_FOREGROUND],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    with demo.stdout:
        assert any(at in line for line in demo.stdout), "the demo ended before it was interrupted"
        eventually(lambda: len(living(demo.pid)) > 2, 20, "it has started something")
        started = living(demo.pid)
        demo.send_signal(number)
        assert demo.wait(60) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    eventually(lambda: [pid for pid in started if is_alive(pid)] == [], 10, "no process is left")
    if number != signal.SIGKILL:
        assert _left_behind(tmp_path) == []


@pytest.mark.usefixtures("down")
def test_up_twice_then_down_twice(environment: dict[str, str], tmp_path: Path) -> None:
    first = _run("lab.up", environment)
    assert first.returncode == 0, first.stderr
    exports = dict(line.removeprefix("export ").split("=", 1) for line in first.stdout.splitlines())
    with_it = environment | {"KUBECONFIG": exports["KUBECONFIG"]}
    kubectl = [
        f"{environment['HEADRACE_TOOLS_DIR']}/kubectl",
        "get",
        "gitrepositories,kustomizations",
        "-A",
    ]
    subprocess.run(kubectl, env=with_it, check=True, timeout=60)
    git(tmp_path, "ls-remote", exports["GIT_URL"])
    again = _run("lab.up", environment)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    holder = re.search(r"It runs already \(process (\d+)\)", again.stderr)
    assert holder is not None
    refused = _run("lab.demo", environment, "--keep")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "A lab runs already" in refused.stderr
    started = living(int(holder[1]))
    assert len(started) > 10
    assert _run("lab.down", environment).stdout.startswith("Ended (process ")
    assert [pid for pid in started if is_alive(pid)] == []
    assert _run("lab.down", environment).stdout == "Nothing runs.\n"
    assert _left_behind(tmp_path) == []


@pytest.mark.usefixtures("down")
def test_a_kept_demo_is_found_by_up_and_ended_by_down(environment: dict[str, str], tmp_path: Path) -> None:
    demo = _run("lab.demo", environment, "--keep")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    found = _run("lab.up", environment)
    assert found.stdout.strip() in demo.stdout
    assert "It runs already" in found.stderr
    assert _run("lab.down", environment).stdout.startswith("Ended (process ")
    assert _left_behind(tmp_path) == []


def _run(module: str, environment: dict[str, str], *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=_ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )


def _left_behind(folder: Path) -> list[str]:
    """Temporary folders of ours."""
    return [entry.name for entry in os.scandir(folder) if entry.name.startswith("headrace-")]
