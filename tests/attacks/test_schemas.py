"""A schema that one tenant brings never shapes the build of the next (A07).

kustomize keeps its schema in globals of the process. What the victim's build gives is what the stock binary
prints, byte by byte, after each attack and among many at once; and what the engine makes of it stays the
same. There is no controller here: the victim is the neighbour.
"""

import asyncio
import contextlib
import itertools
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from kustomize_controller.kustomization.build import Builder, BuildError, Limits
from lab.processes import clean_environment
from lab.tools import Tools
from tests.attacks.building import build, written
from tests.attacks.tables import A07, KUSTOMIZATION, VICTIM, with_manifest

INTERLEAVED = 200


@pytest.fixture
async def builder(tools: Tools) -> AsyncIterator[Builder]:
    """Four engines: two for everybody, one for slow sources, one for sources with a schema."""
    made = Builder(tools.path("engine"), limits=Limits(time_s=10))
    yield made
    await made.close()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return written(tmp_path / "victim", VICTIM)


@pytest.fixture
def stock(tools: Tools, victim: Path) -> bytes:
    """What the stock binary prints."""
    ran = subprocess.run(
        [tools.path("kustomize"), "build", victim],
        env=clean_environment(victim),
        capture_output=True,
        check=True,
    )
    assert ran.stdout.count(b"image: ") == 2, "the patch keeps the sidecar"
    return ran.stdout


async def victims_text(builder: Builder, victim: Path) -> bytes:
    [built] = (await build(builder, "victim", victim, text=True)).objects
    return built.body


async def victims_object(builder: Builder, victim: Path) -> bytes:
    [built] = (await build(builder, "victim", victim)).objects
    return built.body


@pytest.mark.parametrize("name", A07)
async def test_a07_the_next_build_is_as_if_nothing_were(
    builder: Builder, victim: Path, stock: bytes, tmp_path: Path, name: str
) -> None:
    wanted = await victims_object(builder, victim)
    attacker = written(tmp_path / "attacker", with_manifest(A07[name]))
    pids = [child.pid for child in builder.children]
    for number in range(3):  # each engine meets it
        with contextlib.suppress(BuildError):
            await build(builder, f"attacker-{number}", attacker)
        assert await victims_text(builder, victim) == stock
        assert await victims_object(builder, victim) == wanted
    started = [pid for pid in pids if pid is not None]
    assert [pid for pid in started if pid not in [child.pid for child in builder.children]] == []


async def test_a07_an_unreadable_schema_is_said(builder: Builder, tmp_path: Path) -> None:
    attacker = written(tmp_path, with_manifest(A07["a schema that ends the library"]))
    with pytest.raises(BuildError, match="invalid schema") as refused:
        await build(builder, "attacker", attacker)
    assert refused.value.reason == "BuildFailed"


_WORDS = some.sampled_from(
    ("type", "properties", "$ref", "#/definitions/x", "array", "x-kubernetes-patch-merge-key", "name")
)
_ANY_JSON = some.recursive(
    some.none() | some.booleans() | some.integers(0, 99) | _WORDS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=8,
)
_SCHEMA = _ANY_JSON | _ANY_JSON.map(lambda one: {"definitions": {"io.k8s.api.apps.v1.Deployment": one}})


def _attacker(**files: object) -> dict[str, str]:
    """A kustomization with files of JSON, by the field that names each of them."""
    named = {field: f"{field}.json" for field in files}
    kustomization: dict[str, object] = {"resources": ["c.yaml"]}
    for field, name in named.items():
        kustomization[field] = {"path": name} if field == "openapi" else [name]
    texts = {named[field]: json.dumps(content) for field, content in files.items()}
    return with_manifest({**texts, KUSTOMIZATION: json.dumps(kustomization)})


# After a schema of its own an engine takes a tenth of a second for the built-in one, so few attacks bring
# one.
ATTACKERS = some.lists(
    some.one_of(
        some.sampled_from([with_manifest(files) for files in A07.values()]),
        some.builds(_attacker, openapi=_SCHEMA, crds=_ANY_JSON, configurations=_ANY_JSON),
        some.builds(_attacker, crds=_SCHEMA),
        some.builds(_attacker, crds=_ANY_JSON, configurations=_ANY_JSON),
        some.builds(_attacker, configurations=_ANY_JSON),
    ),
    max_size=2,
)
_NUMBERS = itertools.count()


@settings(
    max_examples=INTERLEAVED,
    derandomize=True,  # the same ones at each run
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the same engines meet all of them
)
@given(attackers=ATTACKERS)
async def test_a07_many_tenants_at_once(
    builder: Builder, victim: Path, stock: bytes, tmp_path: Path, attackers: list[Mapping[str, str]]
) -> None:
    async def attack(files: Mapping[str, str]) -> None:
        tenant = f"attacker-{next(_NUMBERS)}"  # a new one each: a known one has an engine of its own
        with contextlib.suppress(BuildError):
            await build(builder, tenant, written(tmp_path / tenant, files))

    under_way = [asyncio.create_task(attack(files)) for files in attackers]
    assert await victims_text(builder, victim) == stock
    await asyncio.gather(*under_way)
    assert await victims_text(builder, victim) == stock
