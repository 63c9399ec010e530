"""A schema that one tenant brings never shapes the build of the next (A07).

kustomize keeps its schema in globals of the process. What the victim's build gives holds what the stock
binary's answer holds, and stays the same after each attack and among many at once.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from kustomize_controller.kustomization.build import Build, Builder, BuildError, Limits, Order
from lab.tools import Tools
from shared.api.kustomization import KustomizationSpec, SourceRef
from tests.attacks.tables import A07, KUSTOMIZATION, VICTIM, with_manifest
from tests.harness.rendering import contains, render

INTERLEAVED = 60
ATTACKERS = 4


@pytest.fixture
async def builder(tools: Tools) -> AsyncIterator[Builder]:
    made = Builder(tools.path("engine"), limits=Limits(time_s=10))
    yield made
    await made.close()


@pytest.fixture
async def expected(tools: Tools, builder: Builder, tmp_path: Path) -> object:
    folder = written(tmp_path / "stock", VICTIM)
    [wanted] = render(tools, folder).values()
    assert len(wanted["spec"]["template"]["spec"]["containers"]) == 2, "the patch keeps the sidecar"
    built = await victims_build(builder, folder)
    assert contains(built, wanted)
    return built


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


async def build(builder: Builder, namespace: str, root: Path) -> Build:
    reference = SourceRef(kind="GitRepository", name="source")
    spec = KustomizationSpec(interval="1m", prune=True, path="./", source_ref=reference)
    return await builder.build(Order(namespace=namespace, root=root, spec=spec, labels={}))


async def victims_build(builder: Builder, root: Path) -> object:
    [built] = (await build(builder, "victim", root)).objects
    return json.loads(built.body)


@pytest.mark.parametrize("name", A07)
async def test_a07_the_next_build_is_as_if_nothing_were(
    builder: Builder, expected: object, tmp_path: Path, name: str
) -> None:
    victim = written(tmp_path / "victim", VICTIM)
    attacker = written(tmp_path / "attacker", with_manifest(A07[name]))
    pids = [child.pid for child in builder.children]
    for number in range(3):  # each engine meets it
        with contextlib.suppress(BuildError):
            await build(builder, f"attacker-{number}", attacker)
        assert await victims_build(builder, victim) == expected
    started = [pid for pid in pids if pid is not None]
    assert [pid for pid in started if pid not in [child.pid for child in builder.children]] == []


async def test_a07_an_unreadable_schema_is_said(builder: Builder, tmp_path: Path) -> None:
    attacker = written(tmp_path, with_manifest(A07["a schema that ends the library"]))
    with pytest.raises(BuildError, match="invalid schema") as refused:
        await build(builder, "attacker", attacker)
    assert refused.value.reason == "BuildFailed"


async def test_a07_many_tenants_at_once(builder: Builder, expected: object, tmp_path: Path) -> None:
    chance = random.Random(7)
    victim = written(tmp_path / "victim", VICTIM)
    attacks = [
        written(tmp_path / f"{number}", with_manifest(files)) for number, files in enumerate(A07.values())
    ]
    attacks += [written(tmp_path / f"odd-{number}", _odd(chance)) for number in range(20)]

    async def attack(number: int, root: Path) -> None:
        with contextlib.suppress(BuildError):
            await build(builder, f"attacker-{number % ATTACKERS}", root)

    for number in range(INTERLEAVED):
        under_way = [asyncio.create_task(attack(n, chance.choice(attacks))) for n in range(number % 3)]
        assert await victims_build(builder, victim) == expected
        await asyncio.gather(*under_way)


def _odd(chance: random.Random) -> dict[str, str]:
    """A kustomization with files of any JSON as schema, definitions and configuration."""
    texts = {name: json.dumps(_any_json(chance, 4)) for name in ("s.json", "d.json", "conf.yaml")}
    if chance.random() < 0.5:
        texts["s.json"] = json.dumps({"definitions": {"io.k8s.api.apps.v1.Deployment": _any_json(chance, 4)}})
    kustomization = (
        "resources: [c.yaml]\nopenapi: {path: s.json}\ncrds: [d.json]\nconfigurations: [conf.yaml]\n"
    )
    return with_manifest({**texts, KUSTOMIZATION: kustomization})


def _any_json(chance: random.Random, depth: int) -> object:
    words = ("type", "properties", "$ref", "#/definitions/x", "array", "x-kubernetes-patch-merge-key", "name")
    kind = chance.randrange(6 if depth else 4)
    if kind < 4:
        return (None, chance.randrange(100), chance.choice(words), chance.random() < 0.5)[kind]
    if kind == 4:
        return [_any_json(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(words): _any_json(chance, depth - 1) for _ in range(chance.randrange(4))}
