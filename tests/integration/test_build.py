"""The builder with the real engine: who waits for whom, and what happens to builds that take too much."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kustomize_controller.kustomization.build import (
    Builder,
    BuildError,
    BuiltObject,
    Limits,
    Order,
    PathNotFound,
)
from kustomize_controller.kustomization.inputs import Inputs
from lab.tools import Tools
from shared.api.kustomization import CommonMetadata, KustomizationSpec, SourceRef

OWNER = {"kustomize.toolkit.fluxcd.io/name": "ks", "kustomize.toolkit.fluxcd.io/namespace": "tenant"}
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {k: v}\n"
# kustomize's time grows with the square of the objects: a minute for these.
ENDLESS = "".join(f"---\n{CONFIG_MAP.replace('settings', f'c{n}')}" for n in range(8_000))
UNLIMITED = Limits(objects=0, time_s=60)
Start = Callable[[Limits], Builder]


@pytest.fixture
async def start(tools: Tools) -> AsyncIterator[Start]:
    started: list[Builder] = []

    def start(limits: Limits) -> Builder:
        started.append(Builder(tools.path("engine"), limits=limits))
        return started[-1]

    yield start
    for builder in started:
        await builder.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An artifact with a folder for each of the situations below."""
    files = {
        "plain/a.yaml": CONFIG_MAP,
        "endless/a.yaml": ENDLESS,
        "schema/kustomization.yaml": "resources: [a.yaml]\nopenapi: {path: s.json}\n",
        "schema/a.yaml": CONFIG_MAP,
        "schema/s.json": '{"definitions": {}}',
        "broken/a.yaml": "a: [\n",
        "env/kustomization.yaml": "secretGenerator: [{name: s, envs: [x.env]}]\n",
        "env/x.env": "ENC[made up]",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def order(source: Path, path: str, *, namespace: str = "tenant", text: bool = False, **spec: object) -> Order:
    reference = SourceRef(kind="GitRepository", name="source")
    fields = {"interval": "1m", "prune": True, "path": path, "source_ref": reference, **spec}
    return Order(
        namespace=namespace,
        root=source,
        spec=KustomizationSpec(**fields),  # type: ignore[arg-type]
        labels=OWNER,
        text=text,
    )


def running(builder: Builder) -> list[str]:
    return [child.name for child in builder.children if child.pid is not None]


async def test_a_build(start: Start, source: Path) -> None:
    builder = start(UNLIMITED)
    built = await builder.build(order(source, "./plain", target_namespace="apps"))
    (settings,) = built.objects
    assert settings.id == ("", "ConfigMap", "apps", "settings")
    assert (settings.api_version, settings.origin) == ("v1", "plain/a.yaml")
    assert settings.body == (
        b'{"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"labels":{'
        b'"kustomize.toolkit.fluxcd.io/name":"ks","kustomize.toolkit.fluxcd.io/namespace":"tenant"},'
        b'"name":"settings","namespace":"apps"}}'
    )
    assert built.inputs == Inputs(
        reads=("plain/a.yaml",),
        lists=("plain",),
        misses=("plain/Kustomization", "plain/kustomization.yaml", "plain/kustomization.yml"),
    )
    assert (await builder.version()).startswith("headrace-engine/")


async def test_a_build_in_two_steps(start: Start, source: Path) -> None:
    builder = start(UNLIMITED)
    common = CommonMetadata(annotations={"a": "b"})
    whole = await builder.build(order(source, "plain", common_metadata=common))
    texts = await builder.build(order(source, "plain", common_metadata=common, text=True))
    assert texts.objects[0].body.decode().startswith("apiVersion: v1\ndata:\n  k: v\n")
    asked = order(source, "plain", common_metadata=common)
    finished = await builder.finish(asked, [each.body.decode() for each in texts.objects])
    assert [each.body for each in finished.objects] == [each.body for each in whole.objects]
    assert finished.digest == whole.digest


async def test_decrypted_files_are_given_in_memory(start: Start, source: Path) -> None:
    asked = order(source, "env")
    decrypted = Order(
        namespace=asked.namespace,
        root=asked.root,
        spec=asked.spec,
        labels={},
        overrides={"env/x.env": b"PASSWORD=made-up"},
    )
    built = await start(UNLIMITED).build(decrypted)
    assert b'"data":{"PASSWORD":"bWFkZS11cA=="}' in built.objects[0].body
    assert "made-up" not in repr(decrypted)
    assert "bWFkZS11cA" not in repr(built)
    assert (source / "env/x.env").read_text() == "ENC[made up]"


async def test_failures_name_the_place(start: Start, source: Path) -> None:
    builder = start(UNLIMITED)
    with pytest.raises(PathNotFound, match=r"^kustomization path not found: \./gone$") as gone:
        await builder.build(order(source, "./gone"))
    assert gone.value.reason == "ArtifactFailed"
    assert gone.value.inputs == Inputs(misses=("gone",))
    with pytest.raises(BuildError) as broken:
        await builder.build(order(source, "broken"))
    assert (broken.value.reason, broken.value.file, broken.value.line) == ("BuildFailed", "broken/a.yaml", 1)
    assert str(source) not in broken.value.message


async def test_too_many_objects_are_refused_at_once(start: Start, source: Path) -> None:
    with pytest.raises(BuildError, match=r"build has at least 8000 objects, limit 5000 \(--max-objects\)"):
        await start(Limits()).build(order(source, "endless"))


async def test_a_build_out_of_time_does_not_hold_up_others(start: Start, source: Path) -> None:
    builder = start(Limits(objects=0, time_s=3))
    slow = asyncio.create_task(builder.build(order(source, "endless", namespace="slow")))
    others = [await builder.build(order(source, "plain", namespace=f"other-{n}")) for n in range(5)]
    assert not slow.done()
    assert len({each.digest for each in others}) == 1
    with pytest.raises(BuildError, match=r"^build exceeded 3s$") as exceeded:
        await slow
    assert exceeded.value.inputs is None, "nothing is known of a build that was killed"


async def test_who_ran_out_of_time_goes_to_a_lane_of_his_own(start: Start, source: Path) -> None:
    builder = start(Limits(objects=0, time_s=3))
    with pytest.raises(BuildError, match="exceeded"):
        await builder.build(order(source, "endless", namespace="slow"))
    again = asyncio.create_task(builder.build(order(source, "endless", namespace="slow")))
    for n in range(5):
        await builder.build(order(source, "plain", namespace=f"other-{n}"))
    assert not again.done()
    assert "build engine for slow sources" in running(builder)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_a_namespace_takes_one_process_at_a_time(start: Start, source: Path) -> None:
    builder = start(Limits(objects=0, time_s=30))
    greedy = [
        asyncio.create_task(builder.build(order(source, "endless", namespace="greedy"))) for _ in range(4)
    ]
    await asyncio.sleep(0)
    await builder.build(order(source, "plain", namespace="other"))
    assert not any(task.done() for task in greedy)
    for task in greedy:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)
    await builder.build(order(source, "plain", namespace="greedy"))


async def test_a_build_out_of_memory_fails_alone(start: Start, source: Path) -> None:
    builder = start(Limits(objects=0, time_s=60, memory_bytes=144 << 20))
    await builder.build(order(source, "plain"))
    with pytest.raises(BuildError, match=r"out of memory, limit 144 MiB"):
        await builder.build(order(source, "endless", namespace="greedy"))
    await builder.build(order(source, "plain"))


async def test_a_source_with_a_schema_is_built_apart(start: Start, source: Path) -> None:
    builder = start(UNLIMITED)
    first = await builder.build(order(source, "schema"))
    plain = await builder.build(order(source, "plain", namespace="other"))
    second = await builder.build(order(source, "schema"))
    assert _bodies(first.objects) == _bodies(second.objects)
    assert _bodies(plain.objects) == _bodies(first.objects)
    assert "build engine for sources with a schema" in running(builder)


async def test_an_engine_that_is_not_there(tmp_path: Path, source: Path) -> None:
    builder = Builder(tmp_path / "nothing", limits=UNLIMITED)
    with pytest.raises(BuildError, match="build engine does not start"):
        await builder.version()
    with pytest.raises(BuildError, match="build engine does not start"):
        await builder.build(order(source, "plain"))


def _bodies(objects: tuple[BuiltObject, ...]) -> list[bytes]:
    return [each.body for each in objects]
