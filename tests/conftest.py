"""What all tests share: real components, started when a test first asks for them, ended with the session."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
import yaml

from lab.apiclient import ApiRefused
from lab.controllers import Controller
from lab.controlplane import ControlPlane
from lab.gitserver import GitServer
from lab.tools import Tools
from tests.harness.canaries import Canaries
from tests.harness.trail import USERS

C = TypeVar("C", bound=Controller)

_CRDS = Path(__file__).parent.parent / "deploy" / "crds"
_SPOKEN = (  # where people and other systems read what we write
    "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
    "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
    "/api/v1/events",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sweep",
        choices=("some", "all"),
        default="all",
        help="tests/faults: kill at every write of every story (default), or at every third point",
    )


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the controllers run on: uvloop's timers and transports differ from asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools.from_environment()


@pytest.fixture(scope="session")
def canaries() -> Iterator[Canaries]:
    """Planted secrets. The session fails at its end when one of them is found in what was put out."""
    planted = Canaries()
    yield planted
    planted.search_watched()
    assert not planted.findings, "\n".join(str(finding) for finding in planted.findings)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tools: Tools, canaries: Canaries) -> Iterator[ControlPlane]:
    """One control plane for the session: etcd and the API server, with our CRDs."""
    yield from control_plane_for(request, tools, canaries, bare=True)


@pytest.fixture(scope="session")
def cluster_full(request: pytest.FixtureRequest, tools: Tools, canaries: Canaries) -> Iterator[ControlPlane]:
    """The same with controller manager, scheduler and a fake node: Deployments become ready."""
    yield from control_plane_for(request, tools, canaries, bare=False)


def control_plane_for(
    request: pytest.FixtureRequest, tools: Tools, canaries: Canaries, *, bare: bool
) -> Iterator[ControlPlane]:
    """A control plane with our CRDs; at its end, what was said there is searched for canaries."""
    control_plane = ControlPlane(tools, bare=bare, audit=True, audit_bodies=USERS).start()
    try:
        control_plane.install_crds(crds())
        yield control_plane
        canaries.search(f"objects of {control_plane.url}", _what_we_said(control_plane))
    finally:
        failed = request.session.testsfailed > 0
        control_plane.stop(keep_logs=failed)
        if failed:
            print(f"logs of the control plane: {control_plane.files.folder}")


def crds() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]
    return [document for document in documents if document["kind"] == "CustomResourceDefinition"]


def _what_we_said(control_plane: ControlPlane) -> str:
    """Our objects' statuses and all events, as JSON. Specs are a user's own words, so they stay out."""
    said: list[object] = []
    for path in _SPOKEN:
        try:
            items = control_plane.client.get(path)["items"]
        except ApiRefused:  # no CRD, no status
            continue
        said += items if path.endswith("/events") else [item.get("status") for item in items]
    return json.dumps(said)


@pytest.fixture(scope="session")
def git_server() -> Iterator[GitServer]:
    """One Git server for the session; give each test's repository a name of its own."""
    with GitServer() as server:
        yield server


@pytest.fixture
def run_controller(request: pytest.FixtureRequest, canaries: Canaries) -> Iterator[Callable[[C], C]]:
    """Start a controller for one test. Then its log is searched for canaries, and shown if it failed."""
    started: list[Controller] = []

    def run(controller: C) -> C:
        started.append(controller)
        return controller.start()

    failed_before = request.session.testsfailed
    yield run
    for controller in reversed(started):
        controller.stop(keep_log=True)
        canaries.search(f"log of {controller.package}", controller.log.read_bytes())
        if request.session.testsfailed > failed_before:
            print(controller.process.log_tail())
        controller.stop()


@pytest.fixture
def namespace() -> str:
    """A fresh name for a namespace; `cluster.create_namespace` makes it."""
    return f"test-{secrets.token_hex(4)}"
