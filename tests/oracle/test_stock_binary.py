"""`--kustomize-binary` against the engine: the same objects, places and refusals.

What the binary gives is text, which is read again as YAML: two odd values do not survive that. And it reads
files of a kustomization's own folder only, where the engine knows the bounds of the source.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kustomize_controller.kustomization.build import Build, Builder, BuildError, Limits, Order
from kustomize_controller.kustomize_binary import KustomizeBinary
from lab.tools import Tools
from shared.api.kustomization import KustomizationSpec, SourceRef
from tests.oracle.test_kustomize import ALIKE, REFUSED, Case, case_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = {"resources-under-any-name.txtar"}  # has a manifest beside the kustomization that lists it
WRITTEN = {"duplicate-key", "a key twice", "not-a-number"}  # it fails when it writes, and quotes the object
ODD = {
    "generated-content-beyond-ascii.txtar": (b"\xc2\x85", b""),  # NEL is a line's end in YAML
    "numbers-and-nulls-of-a-custom-resource.txtar": (b"-0,", b"0,"),
    "scalars-that-yaml-versions-read-differently": (b"-0,", b"0,"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def builders(
    tools: Tools, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Builder, Builder]]:
    """By the engine, and by the binary."""
    binary = KustomizeBinary(program=tools.path("kustomize"), copies=tmp_path_factory.mktemp("copies"))
    engine = tools.path("engine")
    both = (Builder(engine, limits=Limits()), Builder(engine, limits=Limits(), binary=binary))
    yield both
    for builder in both:
        await builder.close()
    assert [left for left in binary.copies.iterdir() if any(left.iterdir())] == []


async def build(builder: Builder, case: Case, *, text: bool = False) -> Build:
    source = SourceRef(kind="GitRepository", name="source")
    spec = KustomizationSpec(interval="1m", prune=True, path=case.path, source_ref=source)
    labels = {"a": "b"}
    return await builder.build(Order(namespace="tenant", root=case.root, spec=spec, labels=labels, text=text))


def read_again(body: bytes, name: str) -> bytes:
    return body.replace(*ODD.get(name, (b"", b"")))


@pytest.mark.parametrize("name", [name for name in ALIKE if name not in ELSEWHERE])
async def test_same_objects(name: str, builders: tuple[Builder, Builder], tmp_path: Path) -> None:
    case = case_of(name, tmp_path)
    ours, theirs = [await build(builder, case) for builder in builders]
    assert [read_again(each.body, name) for each in ours.objects] == [each.body for each in theirs.objects]
    assert [each.origin for each in ours.objects] == [each.origin for each in theirs.objects]
    assert (ours.left_out, ours.warnings) == (theirs.left_out, theirs.warnings)
    assert name in ODD or ours.digest == theirs.digest
    assert ours.inputs is not None
    assert theirs.inputs is not None
    assert set(ours.inputs.reads) <= set(theirs.inputs.reads)


@pytest.mark.parametrize("name", REFUSED)
async def test_same_refusals(name: str, builders: tuple[Builder, Builder], tmp_path: Path) -> None:
    case = case_of(name, tmp_path, refused=True)
    said = []
    for builder in builders:
        with pytest.raises(BuildError) as refused:
            await build(builder, case, text=True)  # in objects, what their types do not have is left out
        said.append(refused.value)
    ours, theirs = said
    assert theirs.reason == "BuildFailed"
    assert theirs.message.startswith("kustomize build failed: ")
    assert (theirs.file, theirs.line) == (ours.file, ours.line)
    assert theirs.message == ours.message or name in WRITTEN


@pytest.mark.parametrize("name", ELSEWHERE)
async def test_files_elsewhere(name: str, builders: tuple[Builder, Builder], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is not in or below 'app': with --kustomize-binary"):
        await build(builders[1], case_of(name, tmp_path))
