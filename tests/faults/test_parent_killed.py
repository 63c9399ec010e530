"""F02, F03: a controller that is killed leaves no process behind; a killed engine costs one retry."""

import os
import signal
import socket
from pathlib import Path

import pytest

from lab.controllers import Controller
from lab.usage import is_alive
from tests.faults.lane import CONVERGE_S, Case, Lane, World
from tests.faults.stories import FIVE, KINDS, listing
from tests.harness.wait import eventually


def at_work(lane: Lane) -> Case:
    """A case that is applied, so that all kinds of child processes have been started."""
    case = lane.case()
    case.publish(FIVE)
    case.create()
    case.await_converged()
    return case


@pytest.mark.parametrize("which", ["source_controller", "kustomize_controller"])
def test_a_killed_controller_takes_its_children_along(which: str, world: World, lane: Lane) -> None:
    case = at_work(lane)
    controller = {one.package: one for one in (world.sources, lane.controller)}[which]
    pids = controller.living()
    assert len(pids) > 1, "nothing to see: the controller has started no child"
    controller.kill()
    eventually(lambda: not any(map(is_alive, pids)), 5, f"the end of {[name_of(pid) for pid in pids]}")
    for port in (controller.health_port, controller.metrics_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what closed connections leave
            probe.bind(("127.0.0.1", port))
    controller.restart()
    case.publish({"settings.yaml": str(FIVE["settings.yaml"]).replace("blue", "red")})
    case.await_converged(CONVERGE_S)
    case.check(KINDS)
    case.leave()


def test_an_engine_killed_in_mid_build_costs_a_retry(lane: Lane) -> None:
    case = at_work(lane)
    case.publish({"settings.yaml": str(FIVE["settings.yaml"]).replace("blue", "red")})
    case.await_converged()  # now builds went to both processes of the pool
    case.snapshot(KINDS)
    engines = engines_of(lane.controller)
    assert engines
    for pid in engines:
        os.kill(pid, signal.SIGSTOP)  # the build begins, and stays in the middle
    case.publish({"settings.yaml": str(FIVE["settings.yaml"]).replace("blue", "green")})
    eventually(lambda: "Building" in progress(case), 10, "a build under way")
    for pid in engines:
        os.kill(pid, signal.SIGKILL)
    case.await_converged(CONVERGE_S)
    assert not any(map(is_alive, engines))
    case.check(KINDS)
    case.leave()


def test_an_engine_killed_between_builds_costs_nothing(lane: Lane) -> None:
    case = at_work(lane)
    for pid in engines_of(lane.controller):
        os.kill(pid, signal.SIGKILL)
    case.publish({"kustomization.yaml": listing("namespace.yaml", "settings.yaml", "account.yaml")})
    case.await_converged(CONVERGE_S)
    case.check(KINDS)
    case.leave()


def engines_of(controller: Controller) -> list[int]:
    return [pid for pid in controller.living() if name_of(pid) == "engine"]


def name_of(pid: int) -> str:
    """The kernel's name of a process, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def progress(case: Case) -> str:
    conditions = case.read().get("status", {}).get("conditions", [])
    return "".join(c["message"] for c in conditions if c["type"] == "Reconciling" and c["status"] == "True")
