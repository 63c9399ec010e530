"""The engine against the stock kustomize binary, its oracle: the same bytes, the same sources refused.

A case is a folder or an archive (`*.txtar`) below tests/data/kustomize, an overlay of the examples, or a
row of BYTES below, where an editor would mend what the case is about.
"""

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from kustomize_controller.kustomization.build import Build, Builder, BuildError, Limits, Order
from lab.tools import Tools
from shared.api.kustomization import KustomizationSpec, SourceRef
from tests.harness.txtar import read_archive

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "tests" / "data" / "kustomize"
_NAMED = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata:\n  k: v\n"

# Content of a file app/m.yaml that app/kustomization.yaml lists.
BYTES = {
    "lines that end in CRLF": _NAMED.replace(b"\n", b"\r\n") % b"a",
    "CRLF within a block of text": b"%s  t: |\r\n    one\r\n    two\r\n" % (_NAMED % b"a"),
    "a byte order mark": b"\xef\xbb\xbf" + _NAMED % b"a",
    "no newline at the end": (_NAMED % b"a").rstrip(b"\n"),
    "empty documents between objects": b"---\n---\n%s---\n\n---\n# none\n---\n%s---\n"
    % (_NAMED % b"a", _NAMED % b"b"),
    "documents that end in dots": b"%s...\n---\n%s...\n" % (_NAMED % b"a", _NAMED % b"b"),
    "blanks after the separator": b"%s---   \n%s" % (_NAMED % b"a", _NAMED % b"b"),
    "trailing blanks": _NAMED.replace(b"\n", b"  \n") % b"a",
    "a document on the separator's line": b"--- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n",
    "next line and line separator": '%s  t: "a\u0085b\u2028c"\n'.encode() % (_NAMED % b"a"),
}
BYTES_REFUSED = {
    "a directive before the document": b"%%YAML 1.2\n---\n%s" % (_NAMED % b"a"),
    "a tab as indentation": b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n",
    "bytes that are not UTF-8": _NAMED % b"a\xff\xfe",
    "a control character": _NAMED % b"a\x07",
    "a key twice": b"%skind: Secret\n" % (_NAMED % b"a"),
    "two objects of one name": b"%s---\n%s" % (_NAMED % b"a", _NAMED % b"a"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """An artifact, unpacked, and the folder in it that is built."""

    root: Path
    path: str

    @property
    def folder(self) -> Path:
        return self.root / self.path


def names(folder: Path) -> list[str]:
    found = [item.name for item in folder.iterdir() if item.suffix == ".txtar" or (item / "app").is_dir()]
    return sorted(found)


ALIKE = [*names(DATA), *BYTES, "examples: base", "examples: staging", "examples: production"]
REFUSED = [*names(DATA / "refused"), *BYTES_REFUSED]
_EXAMPLES = {"base": "base", "staging": "overlays/staging", "production": "overlays/production"}


def case_of(name: str, scratch: Path, *, refused: bool = False) -> Case:
    """The case of that name, written below `scratch` where it is not a folder already."""
    content = (BYTES_REFUSED if refused else BYTES).get(name)
    if content is not None:
        return written(
            scratch / name, {"app/kustomization.yaml": b"resources: [m.yaml]\n", "app/m.yaml": content}
        )
    if name.startswith("examples: "):
        return Case(ROOT / "examples" / "shop", _EXAMPLES[name.removeprefix("examples: ")])
    place = (DATA / "refused" if refused else DATA) / name
    if place.is_dir():
        return Case(place, "app")
    files = read_archive(place)
    return written(scratch / place.stem, {name: content.encode() for name, content in files.items()})


def written(root: Path, files: dict[str, bytes]) -> Case:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return Case(root, "app")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def builder(tools: Tools) -> AsyncIterator[Builder]:
    builder = Builder(tools.path("engine"), limits=Limits())
    yield builder
    await builder.close()


def stock(tools: Tools, case: Case) -> subprocess.CompletedProcess[bytes]:
    # Objects in the order in which they were found, and bases anywhere, as in Flux. An empty environment
    # leaves it no git and no proxy: what is remote is on loopback, where nothing answers.
    arguments = ["build", "--reorder", "none", "--load-restrictor", "LoadRestrictionsNone", str(case.folder)]
    return subprocess.run(
        [tools.path("kustomize"), *arguments], capture_output=True, check=False, timeout=60, env={}
    )


async def engine(builder: Builder, case: Case) -> Build:
    source = SourceRef(kind="GitRepository", name="source")
    spec = KustomizationSpec(interval="1m", prune=True, path=case.path, source_ref=source)
    return await builder.build(Order(namespace="tenant", root=case.root, spec=spec, labels={}, text=True))


@pytest.mark.parametrize("name", ALIKE)
async def test_same_bytes(name: str, tools: Tools, builder: Builder, tmp_path: Path) -> None:
    case = case_of(name, tmp_path)
    expected = stock(tools, case)
    assert expected.returncode == 0, expected.stderr.decode()
    built = await engine(builder, case)
    assert b"---\n".join(each.body for each in built.objects).decode() == expected.stdout.decode()


async def test_same_bytes_after_one_another(builder: Builder, tmp_path: Path) -> None:
    """One process builds them all, forwards and backwards: none changes what comes after it."""
    cases = {name: case_of(name, tmp_path) for name in ALIKE}
    forwards = {name: (await engine(builder, case)).digest for name, case in cases.items()}
    backwards = {name: (await engine(builder, cases[name])).digest for name in reversed(ALIKE)}
    assert backwards == {name: forwards[name] for name in reversed(ALIKE)}


@pytest.mark.parametrize("name", REFUSED)
async def test_same_refusals(name: str, tools: Tools, builder: Builder, tmp_path: Path) -> None:
    case = case_of(name, tmp_path, refused=True)
    assert stock(tools, case).returncode != 0
    with pytest.raises(BuildError) as refused:
        await engine(builder, case)
    assert refused.value.reason == "BuildFailed"
    assert refused.value.message.startswith("kustomize build failed: ")
