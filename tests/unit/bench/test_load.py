"""The load has the size that it says, and every folder builds what its Kustomization should apply."""

import pytest
import yaml

from bench.load import MARKER_KEY, MARKER_LABEL, OBJECTS, Load


def test_folder_holds_its_seven_objects() -> None:
    load = Load.of(3, namespaces=2)
    files = load.files("v1")
    application = load.applications[1]
    listed = yaml.safe_load(files[f"{application.name}/kustomization.yaml"])["resources"]
    objects = [obj for name in listed for obj in yaml.safe_load_all(files[f"{application.name}/{name}"])]
    kinds = sorted(obj["kind"] for obj in objects)
    assert kinds == ["ConfigMap"] * 5 + ["Deployment", "Service"]
    assert len({(obj["kind"], obj["metadata"]["name"]) for obj in objects}) == OBJECTS
    assert {obj["metadata"]["namespace"] for obj in objects} == {application.namespace}
    [marker] = [obj for obj in objects if MARKER_LABEL in obj["metadata"].get("labels", {})]
    assert (marker["metadata"]["name"], marker["data"]) == (application.name, {MARKER_KEY: "v1"})
    assert application.marker.endswith(f"/{application.namespace}/configmaps/{application.name}")


def test_namespaces_share_the_objects_evenly() -> None:
    load = Load.of(10, namespaces=3)
    assert load.namespaces == ["bench", "bench-00", "bench-01", "bench-02"]
    assert load.objects == 70


@pytest.mark.parametrize(
    ("count", "places", "names"),
    [(100, 5, [0, 24, 49, 74, 99]), (100, 1, [0]), (2, 5, [0, 1]), (1, 5, [0])],
    ids=["from first to last", "one place", "fewer than places", "a single one"],
)
def test_places_spread_over_the_names(count: int, places: int, names: list[int]) -> None:
    spread = Load.of(count, namespaces=1).spread(places)
    assert [application.name for application in spread] == [f"app-{number:04d}" for number in names]
