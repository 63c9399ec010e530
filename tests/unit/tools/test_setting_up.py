"""The whole set-up, with a Go that only pretends to compile: done in order, stopped at any point, gone on
with.

What is compiled for real, and that it works, is shown by every `./run test` on a fresh machine.
"""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from lab.usage import is_alive
from tests.harness.wait import eventually
from tools.bootstrap import disk, machine
from tools.bootstrap.cache import Cache, prepare
from tools.bootstrap.catalogue import TOOLS
from tools.bootstrap.setup import Needs, Ready, Site, set_up
from tools.bootstrap.trouble import Trouble

ROOT = Path(__file__).parents[3]
DEADLINE_S = 30.0
NOBODY = 65534

GO = """\
#!/bin/sh
[ "$1" = version ] && { echo "go version go1.99.0 linux/amd64"; exit; }
for word in "$@"; do
    [ "$word" = download ] && { echo "{\\"Dir\\": \\"$PRETEND/module\\"}"; exit; }
    [ "$last" = -o ] && output=$word
    last=$word
done
name=${output##*/}
echo "$name" >>"$PRETEND/compiled"
if [ -e "$PRETEND/fail-$name" ]; then echo "disk: no space left on device"; exit 1; fi
if [ -e "$PRETEND/hang-$name" ]; then
    : >"$output"
    exec sleep 600
fi
if [ -e "$PRETEND/deaf-$name" ]; then # to the first Ctrl-C, and so is the compiler that it started
    trap 'echo heard >>"$PRETEND/signals"' INT
    sleep 600 &
    echo "$$ $!" >"$PRETEND/deaf"
    while :; do wait; done
fi
echo "$name" >"$output"
"""
GIT = """\
#!/bin/sh
echo "$PRETEND"
"""
PYTHON = """\
#!/bin/sh
echo "$@ with $HEADRACE_TOOLS_DIR"
"""
# A shell starts what it puts in the background with SIGINT ignored, nohup ignores SIGHUP; a terminal does
# not.
RUN = """
import runpy, signal
from tools.bootstrap import disk
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
disk.free_mb = lambda folder: 100_000
runpy.run_module("tools.bootstrap", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Place:
    """A checkout with an empty cache, but for the Python packages."""

    folder: Path

    @property
    def site(self) -> Site:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environ = {"PATH": path, "XDG_CACHE_HOME": str(self.folder / "cache"), "PRETEND": str(self.folder)}
        return Site(ROOT, Cache(self.folder / "cache" / "headrace"), machine.platform(), environ)

    def compiled(self) -> list[str]:
        """What Go was asked to compile, in order."""
        log = self.folder / "compiled"
        return log.read_text().split() if log.exists() else []

    def mark(self, what: str) -> Path:
        path = self.folder / what
        path.touch()
        return path

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`python -m tools.bootstrap`, as `./run` starts it."""
        return subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            cwd=ROOT,
            env=dict(self.site.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled here, so it does not matter how much room this machine has."""
    monkeypatch.setattr(disk, "free_mb", lambda _: 100_000)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return furnish(tmp_path)


def furnish(folder: Path) -> Place:
    (folder / "module" / "cmd").mkdir(parents=True)
    place = Place(folder)
    programs = {folder / "bin" / "go": GO, folder / "bin" / "git": GIT, folder / "git-http-backend": ""}
    for path, script in (programs | {place.site.venv / "bin" / "python": PYTHON}).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    (place.site.venv / "complete").touch()
    return place


EVERYTHING = Needs(binaries=True, tests=True)
NAMES = [tool.name for tool in TOOLS]


def is_whole(ready: Ready) -> bool:
    assert ready.tools is not None
    return {path.name: path.read_text() for path in ready.tools.iterdir()} == {
        name: f"{name}\n" for name in NAMES
    }


def test_a_fresh_machine_is_set_up_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_whole(set_up(place.site, EVERYTHING))
    said = capsys.readouterr().err
    assert said.startswith(f"Setting up, once: {len(TOOLS)} steps, about ")
    assert "Ctrl-C is safe" in said
    assert f"[5/{len(TOOLS)}] compile kube-apiserver 1.37.2, about " in said
    assert place.compiled() == NAMES
    assert list(place.site.cache.tmp.iterdir()) == []
    assert is_whole(set_up(place.site, EVERYTHING))
    assert (place.compiled(), capsys.readouterr().err) == (NAMES, "")


def test_what_failed_is_said_and_what_was_finished_is_kept(place: Place) -> None:
    broken = place.mark("fail-etcd")
    with pytest.raises(Trouble, match=r"(?s)Compiling etcd failed.*\| disk: no space.*The disk is full"):
        set_up(place.site, EVERYTHING)
    broken.unlink()
    assert is_whole(set_up(place.site, EVERYTHING))
    assert sorted(place.compiled()) == sorted([*NAMES, "etcd"])


def test_disk_space_is_asked_for_again_before_each_step(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else fills the disk while the second step runs."""
    monkeypatch.setattr(disk, "free_mb", lambda _: 100_000 if len(place.compiled()) < 2 else 700)
    with pytest.raises(Trouble, match=r"700 MB is free\.\n    Free some space") as trouble:
        set_up(place.site, EVERYTHING)
    assert str(place.site.cache.root) in str(trouble.value)
    assert place.compiled() == NAMES[:2]
    assert f"[2/{len(TOOLS)}] compile engine of this tree: done in " in capsys.readouterr().err
    monkeypatch.setattr(disk, "free_mb", lambda _: 100_000)
    assert is_whole(set_up(place.site, EVERYTHING))
    assert place.compiled() == NAMES


def test_too_little_disk_is_said_before_anything_is_begun(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disk, "free_mb", lambda _: 5_000)
    with pytest.raises(Trouble, match=r"needs up to 9\.\d GB in .*5\.0 GB is free"):
        set_up(place.site, EVERYTHING)
    assert (place.compiled(), capsys.readouterr().err) == ([], "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_is_gone_on_with(place: Place, number: signal.Signals) -> None:
    """Stopped while it compiles etcd: what was finished before is not done again, half a file is not used."""
    hanging = place.mark("hang-etcd")
    first = place.start("up")
    eventually(lambda: "etcd" in place.compiled(), DEADLINE_S, "etcd is being compiled")
    first.send_signal(number)
    _, said = first.communicate(timeout=DEADLINE_S)
    assert first.returncode == 130
    assert said.endswith("run: stopped. What is finished is kept; the same command goes on from there.\n")
    assert [path.name for path in place.site.cache.tmp.iterdir()] != [], "half a file is left"
    hanging.unlink()
    (place.site.cache.tmp / "of-another-killed-run").mkdir()
    second = place.start("up", "--anything")
    shown, said = second.communicate(timeout=DEADLINE_S)
    assert second.returncode == 0, said
    needed = [tool.name for tool in TOOLS if not tool.for_tests]
    assert place.compiled() == ["engine", "etcd", *needed[1:]]
    assert f"Setting up, once: {len(needed) - 1} steps" in said
    assert list(place.site.cache.tmp.iterdir()) == []
    became, _, folder = shown.strip().partition(" with ")
    assert became == "-m lab.up --anything"
    assert sorted(path.name for path in Path(folder).iterdir()) == sorted(needed)


def test_a_second_ctrl_c_ends_all_that_compiles(place: Place) -> None:
    """The first is answered by the compiler, which takes its time."""
    place.mark("deaf-engine")
    run = place.start("up")
    pids = eventually(
        lambda: [int(pid) for pid in (place.folder / "deaf").read_text().split()], DEADLINE_S, "it compiles"
    )
    try:
        run.send_signal(signal.SIGINT)
        eventually((place.folder / "signals").read_text, DEADLINE_S, "the compiler has heard of it")
        assert run.poll() is None, "it did not wait for the compiler"
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=DEADLINE_S)
        assert run.returncode == 130
        assert "run: stopped." in said
        eventually(lambda: [pid for pid in pids if is_alive(pid)] == [], 5, "nothing goes on")
    finally:
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


GIT_TROUBLE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "no git": ("", "", ("git was not found on PATH", "apt-get install git")),
    "git without its HTTP server": ("bin/git", "", ("no `git http-backend`", "apk add git-daemon")),
    "git that does not run": ("bin/git", "exit 1", ("no `git http-backend`",)),
}


@pytest.mark.parametrize(("kept", "script", "words"), GIT_TROUBLE.values(), ids=GIT_TROUBLE)
def test_what_is_missing_of_git_is_said_first(
    place: Place, kept: str, script: str, words: tuple[str, ...]
) -> None:
    (place.folder / "git-http-backend").unlink()
    if not kept:
        (place.folder / "bin" / "git").unlink()
    if script:
        (place.folder / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
    environ = dict(place.site.environ) | {"PATH": str(place.folder / "bin")}
    ran = subprocess.run(
        [sys.executable, "-m", "tools.bootstrap", "demo"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("run: git ")
    assert [word for word in words if word not in ran.stderr] == []
    assert place.compiled() == []


FOLDERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "HEADRACE_TOOLS names no folder": ("HEADRACE_TOOLS", "", ("no folder", "unset HEADRACE_TOOLS")),
    "KUBEBUILDER_ASSETS names no folder": (
        "KUBEBUILDER_ASSETS",
        "",
        ("no folder", "unset KUBEBUILDER_ASSETS"),
    ),
    "HEADRACE_TOOLS has an old etcd": (
        "HEADRACE_TOOLS",
        "#!/bin/sh\necho etcd Version: 3.5.9\n",
        ("is 3.5.9", "etcd 3.7.3 only", "remove the file"),
    ),
    "KUBEBUILDER_ASSETS has an old etcd": (
        "KUBEBUILDER_ASSETS",
        "#!/bin/sh\necho etcd Version: 3.5.9\n",
        ("is 3.5.9", "etcd 3.7.3 only", "unset KUBEBUILDER_ASSETS"),
    ),
    "HEADRACE_TOOLS has a link to nothing": (
        "HEADRACE_TOOLS",
        "->",
        ("no version that it tells", "etcd 3.7.3"),
    ),
}


@pytest.mark.parametrize(("variable", "etcd", "words"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_of_binaries_that_does_not_fit_is_refused(
    place: Place, variable: str, etcd: str, words: tuple[str, ...]
) -> None:
    """Before anything is built, and never in silence."""
    folder = place.folder / "assets"
    if etcd:
        folder.mkdir()
    if etcd == "->":
        (folder / "etcd").symlink_to("gone")
    elif etcd:
        (folder / "etcd").write_text(etcd)
        (folder / "etcd").chmod(0o755)
    site = place.site
    named = Site(site.root, site.cache, site.platform, dict(site.environ) | {variable: str(folder)})
    with pytest.raises(Trouble) as trouble:
        set_up(named, EVERYTHING)
    said = str(trouble.value)
    assert [word for word in (variable, str(folder), *words) if word not in said] == []
    assert place.compiled() == []


def test_the_exact_versions_are_taken_from_a_folder(place: Place) -> None:
    folder = place.folder / "assets"
    folder.mkdir()
    (folder / "etcd").write_text("#!/bin/sh\necho etcd Version: 3.7.3\n")
    (folder / "etcd").chmod(0o755)
    site = place.site
    named = Site(
        site.root, site.cache, site.platform, dict(site.environ) | {"KUBEBUILDER_ASSETS": str(folder)}
    )
    tools = set_up(named, EVERYTHING).tools
    assert tools is not None
    assert (tools / "etcd").readlink() == folder / "etcd"
    assert "etcd" not in place.compiled()


# --- an ordinary user ---


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may look into, which pytest's are not."""
    folder = Path(mkdtemp(prefix="headrace-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_ordinary_user(do: Callable[[], object]) -> object:
    """What `do` gives or raises when the user `nobody` does it, in a fork; without root, whoever we are."""
    if os.geteuid() != 0:
        try:
            return do()
        except Trouble as error:
            return str(error)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            told: object = do()
        except BaseException as error:  # the parent is told, whatever it is
            told = str(error) if isinstance(error, Trouble) else repr(error)
        os.write(writing, pickle.dumps(told))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pickle.loads(pipe.read())  # noqa: S301  # our own fork's
    os.waitpid(pid, 0)
    return told


def test_an_ordinary_user_sets_up(public: Path) -> None:
    for name in ("requirements.lock", "requirements-go.lock"):
        shutil.copy(ROOT / name, public)
    shutil.copytree(ROOT / "tools", public / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    place = furnish(public)
    site = Site(public, place.site.cache, place.site.platform, place.site.environ)
    for path in [public, *public.rglob("*")]:
        shutil.chown(path, NOBODY, NOBODY) if os.geteuid() == 0 else None
    assert as_ordinary_user(lambda: is_whole(set_up(site, EVERYTHING))) is True
    assert place.compiled() == NAMES


def test_a_cache_of_another_user_is_named(public: Path) -> None:
    (public / "theirs").mkdir(mode=0o555)
    said = str(as_ordinary_user(lambda: prepare(Cache(public / "theirs" / "headrace"))))
    assert said.startswith(f"The cache {public}/theirs/headrace cannot be written to: Permission denied.")
    assert "Make it yours" in said
    assert "XDG_CACHE_HOME" in said


def test_a_cache_that_another_user_began_is_named(public: Path) -> None:
    """Its folders are there, so that making them goes well."""
    cache = Cache(public / "headrace")
    prepare(cache)
    for folder in cache.root.iterdir():
        folder.chmod(0o555)
    said = str(as_ordinary_user(lambda: prepare(cache)))
    assert "cannot be written to: Permission denied" in said
