"""What the writes of a cold start, and of a new revision, cost by themselves: the least that any controller
could take on this machine.

    python -m bench.floor [--n 300]

The same Kustomizations and objects as in `./run bench`, written by one small client with nothing in
between: no Git, no build, no watch, no look at what is there. For each Kustomization, after it was created,
a finalizer, a status with the inventory, seven server-side applies and a status that says Ready; then, as a
second figure, a status that names another revision. Compare `cold`, and "all on the revision" of a push,
with them in runs that follow each other: what is above is ours (and the events, which are not written
here), what is below is the API server, etcd and this machine.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import yaml

from bench import load as loads
from bench.load import Application, Load
from bench.measure import own_cpu_s
from bench.world import crds
from lab import usage
from lab.controlplane import ControlPlane
from lab.tools import Tools
from shared.kube import client as kube
from shared.kube import connection
from shared.kube.client import Client

_KUSTOMIZATIONS = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{loads.HOME}/kustomizations"
_CREATING = 16  # as the bench creates them
_AT_ONCE = 16  # Kustomizations: always enough to fill the client's slots
_PLURALS = {"ConfigMap": "configmaps", "Deployment": "deployments", "Service": "services"}
_REVISION = f"main@sha1:{'0' * 40}"
_OTHER_REVISION = f"main@sha1:{'1' * 40}"
_OWNER = "kustomize.toolkit.fluxcd.io"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="Kustomizations of 7 objects each (300)")
    parser.add_argument("--namespaces", type=int, default=10, help="namespaces of these objects (10)")
    asked = parser.parse_args()
    load = Load.of(asked.n, asked.namespaces)
    with ControlPlane(Tools.from_environment(), bare=True, audit=True) as control_plane:
        control_plane.install_crds(crds())
        for namespace in load.namespaces:
            control_plane.create_namespace(namespace)
        asyncio.run(_measure(control_plane, load))
    return 0


async def _measure(control_plane: ControlPlane, load: Load) -> None:
    client = Client(connection.load(control_plane.kubeconfig), user_agent="headrace-bench")
    objects = [(application, list(_applies(application))) for application in load.applications]
    what = f"{len(load.applications)} Kustomizations"
    try:
        with _told(control_plane, f"{what}, {load.objects} objects, created and Ready"):
            made = iter(load.applications)
            await asyncio.gather(*(_create(client, made) for _ in range(_CREATING)))
            left = iter(objects)
            await asyncio.gather(*(_reconcile(client, left) for _ in range(_AT_ONCE)))
        with _told(control_plane, f"{what} on another revision"):
            moved = iter(load.applications)
            await asyncio.gather(*(_move(client, moved) for _ in range(_AT_ONCE)))
    finally:
        await client.close()


@contextmanager
def _told(control_plane: ControlPlane, what: str) -> Iterator[None]:
    """Prints the time and the CPU time that the block took."""
    before = {name: usage.measure(pid).cpu_s for name, pid in control_plane.pids.items()}
    began, own_before_s = time.monotonic(), own_cpu_s()
    yield
    seconds, own_s = time.monotonic() - began, own_cpu_s() - own_before_s
    used = {name: usage.measure(pid).cpu_s - before[name] for name, pid in control_plane.pids.items()}
    print(f"{what}: {seconds:.2f} s")
    print("  CPU: " + ", ".join(f"{name} {cpu_s:.2f} s" for name, cpu_s in {**used, "client": own_s}.items()))


async def _create(client: Client, left: Iterator[Application]) -> None:
    for application in left:
        body = msgspec.json.encode(application.kustomization())
        await client.request("POST", _KUSTOMIZATIONS, body=body, content_type=kube.JSON)


async def _reconcile(client: Client, left: Iterator[tuple[Application, list[tuple[str, bytes]]]]) -> None:
    for application, applies in left:
        path = f"{_KUSTOMIZATIONS}/{application.name}"
        await _merge(client, path, {"metadata": {"finalizers": ["finalizers.fluxcd.io"]}})
        await _merge(client, f"{path}/status", {"status": _inventory(applies) | _conditions("Unknown")})
        await asyncio.gather(*(_apply(client, *one) for one in applies))
        await _merge(client, f"{path}/status", {"status": _conditions("True")})


async def _move(client: Client, left: Iterator[Application]) -> None:
    for application in left:
        status = _conditions("True", _OTHER_REVISION)
        await _merge(client, f"{_KUSTOMIZATIONS}/{application.name}/status", {"status": status})


async def _merge(client: Client, path: str, patch: Mapping[str, Any]) -> None:
    await client.request(
        "PATCH",
        path,
        body=msgspec.json.encode(patch),
        content_type=kube.MERGE_PATCH,
        accept=kube.METADATA_ONLY,
    )


async def _apply(client: Client, path: str, body: bytes) -> None:
    query = {"fieldManager": "kustomize-controller", "force": "true", "fieldValidation": "Ignore"}
    await client.request(
        "PATCH", path, body=body, content_type=kube.APPLY_PATCH, query=query, accept=kube.METADATA_ONLY
    )


def _applies(application: Application) -> Iterator[tuple[str, bytes]]:
    """Path and body of every object, with the two labels that a controller puts on it."""
    files = application.files() | application.touched("start")
    for name, text in sorted(files.items()):
        for item in yaml.safe_load_all(text):
            if name.endswith("kustomization.yaml"):
                continue
            meta = item["metadata"]
            owner = {f"{_OWNER}/name": application.name, f"{_OWNER}/namespace": loads.HOME}
            meta["labels"] = meta.get("labels", {}) | owner
            root = "/api/v1" if item["apiVersion"] == "v1" else f"/apis/{item['apiVersion']}"
            plural = _PLURALS[item["kind"]]
            yield (
                f"{root}/namespaces/{meta['namespace']}/{plural}/{meta['name']}",
                msgspec.json.encode(item),
            )


def _inventory(applies: list[tuple[str, bytes]]) -> dict[str, Any]:
    """As many entries, as long as real ones."""
    return {
        "inventory": {"entries": [{"id": path[-60:].replace("/", "_"), "v": "v1"} for path, _ in applies]}
    }


def _conditions(ready: str, revision: str = _REVISION) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "ReconciliationSucceeded" if ready == "True" else "Progressing",
        "message": f"Applied revision: {revision}",
        "lastTransitionTime": now,
        "observedGeneration": 1,
    }
    return {
        "conditions": [condition],
        "observedGeneration": 1,
        "lastAppliedRevision": revision if ready == "True" else None,
        "lastAttemptedRevision": revision,
    }


if __name__ == "__main__":
    sys.exit(main())
