"""`--kustomize-binary`: the stock binary builds, in the place of the engine's own kustomize, within the same
limits and on a copy of what it may read.

That both build the same is shown in tests/oracle.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kustomize_controller.kustomization.build import Builder, BuildError, Limits, Order
from kustomize_controller.kustomization.inputs import Inputs
from kustomize_controller.kustomize_binary import KustomizeBinary, UnusableBinary, version_of
from lab.controllers import Controller
from lab.controlplane import ControlPlane
from lab.processes import ProcessFailed
from lab.tools import Tools
from shared.api.kustomization import KustomizationSpec, SourceRef
from tests.harness.manifests import config_map, kustomization_file
from tests.harness.story import Files, Story
from tests.harness.wait import eventually
from tests.integration.conftest import Pair

STOCK = str(Path(os.environ.get("HEADRACE_TOOLS_DIR", "")) / "kustomize")
FLAGS = [f"--kustomize-binary={STOCK}"]


# --- a controller with the flag ---


def test_a_build_and_its_update(story: Story, controllers: Pair) -> None:
    files: Files = {
        "base/kustomization.yaml": kustomization_file(resources=["a.yaml", "b.yaml"]),
        "base/a.yaml": [config_map("a", story.namespace, n="1")],
        "base/b.yaml": [config_map("b", story.namespace, n="1")],
        "app/kustomization.yaml": kustomization_file(resources=["../base"]),
    }
    story.start(files, namePrefix="x-", commonMetadata={"labels": {"team": "blue"}})
    assert story.data("x-a") == story.data("x-b") == {"n": "1"}
    assert story.get("ConfigMap", "x-a")["metadata"]["labels"]["team"] == "blue"
    commit = story.push(
        {
            **files,
            "base/kustomization.yaml": kustomization_file(resources=["a.yaml"]),
            "base/a.yaml": [config_map("a", story.namespace, n="2")],
        }
    )
    story.request("GitRepository", "app")
    story.ready("app", commit)
    assert story.data("x-a") == {"n": "2"}
    assert story.find("ConfigMap", "x-b") is None
    log = controllers.kustomize.log.read_text()
    [line] = [line for line in log.splitlines() if "it can reach the network and is slower" in line]
    assert '"version":"v5.8.1"' in line.replace(" ", "")
    assert STOCK in line


def test_an_error_names_its_file(story: Story) -> None:
    generator = kustomization_file(configMapGenerator=[{"name": "c", "files": ["../notes.txt"]}])
    story.push({"app/kustomization.yaml": generator, "notes.txt": "n"})
    story.source()
    story.kustomization()
    story.failed("app", "BuildFailed", "'notes.txt' is not in or below 'app': with --kustomize-binary")
    broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n"
    story.push({"app/kustomization.yaml": None, "app/map.yaml": broken})
    story.request("GitRepository", "app")
    story.failed("app", "BuildFailed", "(app/map.yaml:2)")
    commit = story.push({"app/map.yaml": [config_map("map", story.namespace, n="1")]})
    story.request("GitRepository", "app")
    story.ready("app", commit)


def test_a_path_that_is_wrong_ends_the_start(cluster: ControlPlane) -> None:
    flags = ["--kustomize-binary=/nonexistent/kustomize"]
    controller = Controller("kustomize_controller", cluster.kubeconfig, flags=flags)
    try:
        with pytest.raises(ProcessFailed, match=r"--kustomize-binary /nonexistent/kustomize: there is no su"):
            controller.start()
    finally:
        with pytest.raises(ProcessFailed, match="ended with 1"):
            controller.stop()


# --- the builder ---

Start = Callable[..., Builder]


@pytest.fixture
async def start(tools: Tools, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a builder with a program in the place of the engine's kustomize."""
    started: list[Builder] = []

    def start(program: Path | None = None, **limits: float) -> Builder:
        binary = KustomizeBinary(program=program or tools.path("kustomize"), copies=tmp_path / "copies")
        bounds = Limits(**limits)  # type: ignore[arg-type]
        started.append(Builder(tools.path("engine"), limits=bounds, binary=binary))
        return started[-1]

    yield start
    for builder in started:
        await builder.close()


def order(root: Path, files: dict[str, str], path: str = "app", **overrides: bytes) -> Order:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    reference = SourceRef(kind="GitRepository", name="source")
    spec = KustomizationSpec(interval="1m", prune=True, path=path, source_ref=reference)
    return Order(namespace="tenant", root=root, spec=spec, labels={}, overrides=overrides)


def script(folder: Path, text: str) -> Path:
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return program


CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {k: v}\n"


async def test_inputs_are_what_the_binary_could_read(start: Start, tmp_path: Path) -> None:
    files = {"a.yaml": CONFIG_MAP, "more/notes.txt": "n"}
    builder = start()
    built = await builder.build(order(tmp_path / "source", files, "./"))
    assert built.inputs == Inputs(
        reads=("a.yaml", "more/notes.txt"),
        lists=(".", "more"),
        misses=(
            *("Kustomization", "kustomization.yaml", "kustomization.yml"),
            *("more/Kustomization", "more/kustomization.yaml", "more/kustomization.yml"),
        ),
    )
    assert " stock/" in await builder.version(), "another binary builds anew"
    assert sorted(each.name for each in (tmp_path / "source").rglob("*")) == ["a.yaml", "more", "notes.txt"]


async def test_the_deadline_ends_the_program_and_what_it_started(start: Start, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    secret = {"x.env": b"PASSWORD=made-up"}
    slow = script(tmp_path, f"/bin/sleep 60 >/dev/null 2>&1 & echo $$ $! > {pids}; wait")
    builder = start(slow, time_s=2.0)
    asked = order(tmp_path / "source", {"a.yaml": CONFIG_MAP, "x.env": "ENC"}, ".", **secret)
    async with asyncio.timeout(30):  # less than the sleep
        with pytest.raises(BuildError, match=r"^build exceeded 2s$"):
            await builder.build(asked)
    both = [int(pid) for pid in pids.read_text().split()]
    assert len(both) == 2
    eventually(lambda: not any(alive(pid) for pid in both), 5, "program and sleep have ended")
    copies = tmp_path / "copies"
    eventually(lambda: list(copies.iterdir()) == [], 5, "the copy, with a decrypted file, is gone")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_the_program_has_the_engines_memory(start: Start, tmp_path: Path) -> None:
    builder = start(script(tmp_path, 'echo "Error: $(ulimit -d) KiB, $GOMEMLIMIT" >&2; exit 1'))
    with pytest.raises(BuildError, match=rf"{1 << 20} KiB, {int((1 << 30) * 0.8)}$"):
        await builder.build(order(tmp_path / "source", {"app/a.yaml": CONFIG_MAP}))


TRANSFORMER = "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\ntarget: {kind: ConfigMap}\n"
REACHES = {
    "a file of the machine": (
        "configMapGenerator: [{name: c, files: [/etc/hostname]}]",
        "is not in or below",
    ),
    "a file of the machine, by a transformer": ("transformers: [local.yaml]", "is not in or below 'app'"),
    "a folder of the machine": ("resources: [../../../../../../etc]", "not in or below the source root"),
    "a URL": ("resources: [https://remote.invalid/a.yaml]", "remote files are disabled: https://remote.in"),
    "a URL, by a transformer": ("transformers: [url.yaml]", "remote files are disabled: https://remote.inv"),
    "a repository": (
        "resources: ['github.com/org/repo?ref=v1']",
        "remote bases are disabled: github.com/org",
    ),
    "a component elsewhere": ("components: ['ssh://git@remote.invalid/o/r']", "remote bases are disabled: "),
}


@pytest.mark.parametrize(("kustomization", "message"), REACHES.values(), ids=REACHES)
async def test_what_the_binary_does_not_reach(
    start: Start, tmp_path: Path, kustomization: str, message: str
) -> None:
    files = {
        "app/kustomization.yaml": kustomization + "\n",
        "app/local.yaml": TRANSFORMER + "path: /etc/hostname\n",
        "app/url.yaml": TRANSFORMER + "path: https://remote.invalid/patch.yaml?token=made-up\n",
    }
    with pytest.raises(BuildError, match=r"^kustomize build failed: ") as refused:
        await start().build(order(tmp_path / "source", files))
    assert message in refused.value.message
    assert "made-up" not in refused.value.message


# --- which program is one ---

NO_BINARIES = {
    "is not there": (None, 0o755, "there is no such file"),
    "may not be run": ("echo v5.8.1", 0o644, "this user may not execute it"),
    "has no interpreter": ("#!/nonexistent/sh", 0o755, "it does not start: "),
    "fails": ("#!/bin/sh\necho v5.8.1; exit 1", 0o755, "does not say which version"),
    "says nothing of a version": ("#!/bin/sh\necho hello", 0o755, "does not say which version"),
}


@pytest.mark.parametrize(("text", "mode", "why"), NO_BINARIES.values(), ids=NO_BINARIES)
async def test_what_is_no_binary(tmp_path: Path, text: str | None, mode: int, why: str) -> None:
    program = tmp_path / "kustomize"
    if text is not None:
        program.write_text(text + "\n")
        program.chmod(mode)
    with pytest.raises(UnusableBinary, match=rf"^--kustomize-binary {program}: .*{why}.*; name a kustomize"):
        await version_of(program)


VERSIONS = {
    "today's": ("v5.8.1", "v5.8.1"),
    "a record": ("{Version:kustomize/v4.5.7 GitCommit:56d82a8 GoOs:linux}", "v4.5.7"),
    "built by hand": ("(devel)", "(devel)"),
}


@pytest.mark.parametrize(("said", "version"), VERSIONS.values(), ids=VERSIONS)
async def test_versions(tmp_path: Path, said: str, version: str) -> None:
    assert await version_of(script(tmp_path, f"echo '{said}'")) == version
