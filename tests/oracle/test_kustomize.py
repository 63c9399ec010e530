"""The engine against the stock kustomize binary, its oracle: the same bytes, the same sources refused."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomize_controller.kustomization.build import Build, Builder, BuildError, Limits, Order
from lab.tools import Tools
from shared.api.kustomization import KustomizationSpec, SourceRef

DATA = Path(__file__).parent.parent / "data" / "kustomize"
ALIKE = sorted(folder.name for folder in DATA.iterdir() if (folder / "app").is_dir())
REFUSED = sorted(folder.name for folder in (DATA / "refused").iterdir())


@pytest.fixture
async def builder(tools: Tools) -> AsyncIterator[Builder]:
    builder = Builder(tools.path("engine"), limits=Limits())
    yield builder
    await builder.close()


def stock(tools: Tools, folder: Path) -> subprocess.CompletedProcess[bytes]:
    # Objects in the order in which they were found, and bases anywhere, as in Flux.
    arguments = ["build", "--reorder", "none", "--load-restrictor", "LoadRestrictionsNone", str(folder)]
    return subprocess.run(
        [tools.path("kustomize"), *arguments], capture_output=True, check=False, timeout=60, env={}
    )


async def engine(builder: Builder, root: Path) -> Build:
    source = SourceRef(kind="GitRepository", name="source")
    spec = KustomizationSpec(interval="1m", prune=True, path="app", source_ref=source)
    return await builder.build(Order(namespace="tenant", root=root, spec=spec, labels={}, text=True))


@pytest.mark.parametrize("name", ALIKE)
async def test_same_bytes(name: str, tools: Tools, builder: Builder) -> None:
    expected = stock(tools, DATA / name / "app")
    assert expected.returncode == 0, expected.stderr.decode()
    built = await engine(builder, DATA / name)
    assert b"---\n".join(each.body for each in built.objects).decode() == expected.stdout.decode()


async def test_same_bytes_after_one_another(tools: Tools, builder: Builder) -> None:
    """One process builds them all, forwards and backwards: none changes what comes after it."""
    forwards = {name: (await engine(builder, DATA / name)).digest for name in ALIKE}
    backwards = {name: (await engine(builder, DATA / name)).digest for name in reversed(ALIKE)}
    assert backwards == forwards


@pytest.mark.parametrize("name", REFUSED)
async def test_same_refusals(name: str, tools: Tools, builder: Builder) -> None:
    assert stock(tools, DATA / "refused" / name / "app").returncode != 0
    with pytest.raises(BuildError) as refused:
        await engine(builder, DATA / "refused" / name)
    assert refused.value.reason == "BuildFailed"
    assert refused.value.message.startswith("kustomize build failed: ")
