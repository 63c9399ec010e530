"""Sources that attack the build (A01 to A06, A08, A09): each is refused, and said where it belongs."""

import pytest

from tests.attacks.scene import Scene
from tests.attacks.tables import A01, A02, A03, A04, A05, A06, A08, A09

FLAGS = ["--build-timeout=4s"]
_ROWS = {"A01": A01, "A02": A02, "A03": A03, "A04": A04, "A05": A05, "A06": A06, "A08": A08, "A09": A09}
ATTACKS = {f"{row} {name}": attack for row, table in _ROWS.items() for name, attack in table.items()}


@pytest.mark.parametrize("name", A01)
def test_a01_files_outside_of_the_source_are_not_read(scene: Scene, name: str) -> None:
    scene.check(f"A01 {name}", A01[name])


@pytest.mark.parametrize("name", A02)
def test_a02_links_are_left_out_and_the_consumer_gets_a_hint(scene: Scene, name: str) -> None:
    scene.check(f"A02 {name}", A02[name])


def test_a02_the_source_names_the_links_that_it_left_out(scene: Scene) -> None:
    event = scene.story.told("app", "left out of the artifact: ", kind="GitRepository")
    assert event["reason"] == "LeftOut"
    for name, attack in A02.items():
        for link in attack.links:
            assert f"'{scene.name(f'A02 {name}')}/{link}' (symbolic link)" in event["message"]


@pytest.mark.parametrize("name", A03)
def test_a03_rings_end(scene: Scene, name: str) -> None:
    scene.check(f"A03 {name}", A03[name])


@pytest.mark.parametrize("name", A04)
def test_a04_no_program_is_run(scene: Scene, name: str) -> None:
    scene.check(f"A04 {name}", A04[name])


@pytest.mark.parametrize("name", A05)
def test_a05_nothing_is_fetched_by_a_build(scene: Scene, name: str) -> None:
    scene.check(f"A05 {name}", A05[name])


@pytest.mark.parametrize("name", A06)
def test_a06_addresses_are_no_arguments(scene: Scene, name: str) -> None:
    scene.check(f"A06 {name}", A06[name])


@pytest.mark.parametrize("name", A08)
def test_a08_yaml_is_bounded(scene: Scene, name: str) -> None:
    scene.check(f"A08 {name}", A08[name])


@pytest.mark.parametrize("name", A09)
def test_a09_yaml_makes_plain_values_only(scene: Scene, name: str) -> None:
    scene.check(f"A09 {name}", A09[name])
