"""What each step of the demo does, and how it sees that the cluster followed. The order is in `script.py`."""

import hashlib
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from lab.demo.remarks import Seen
from lab.demo.stage import NotYet, Stage, StepFailed

_EXAMPLES = Path(__file__).parent.parent.parent / "examples"
_EXAMPLE_URL = "https://git.example.com/shop.git"
_SPACE = "shop-staging"
_OVERLAY = "overlays/staging"
_SOURCE = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories/shop"
_SYNC = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/default/kustomizations/shop-staging"
_DEPLOYMENT = f"/apis/apps/v1/namespaces/{_SPACE}/deployments/web"
_SERVICE = f"/api/v1/namespaces/{_SPACE}/services/web"
_CRONJOB = f"/apis/batch/v1/namespaces/{_SPACE}/cronjobs/refill"


# --- from Git to the cluster ---


def push_examples(stage: Stage) -> Seen:
    url = stage.lab.place.git_url
    stage.git("clone", url, "shop")
    stage.note("Copied into it: examples/shop, and as sync/ examples/gitrepository.yaml and staging.yaml.")
    shutil.copytree(_EXAMPLES / "shop", stage.clone, dirs_exist_ok=True)
    sync = stage.clone / "sync"
    sync.mkdir()
    shutil.copy(_EXAMPLES / "staging.yaml", sync)
    shutil.copy(_EXAMPLES / "gitrepository.yaml", sync)
    source = sync / "gitrepository.yaml"
    source.write_text(source.read_text().replace(_EXAMPLE_URL, url).replace("interval: 1m", "interval: 1s"))
    stage.git("add", ".")
    stage.git("commit", "--message", "Open the shop")
    stage.git("push", "origin", "main")
    return Seen(f"main is {stage.head()[:12]}")


def ask_for_it(stage: Stage) -> Seen:
    stage.note("The GitRepository's interval is 1s here: after a push, up to a second is waiting.")
    stage.kubectl("apply", "-f", "sync/")
    return Seen("the times below count from here")


def see_revision(stage: Stage) -> Seen:
    head = stage.head()
    stage.until("the GitRepository names the commit that was pushed", lambda: _artifact(stage, head))
    return Seen(f"main@sha1:{head[:12]}", stage.since())


def see_artifact(stage: Stage) -> Seen:
    """Download it as the kustomize controller does, and check its digest."""
    artifact = stage.until("the artifact", lambda: _artifact(stage, stage.head()))
    took_s = stage.since()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(artifact["url"], timeout=10) as answer:
        archive: bytes = answer.read()
    algorithm, _, digest = artifact["digest"].partition(":")
    if hashlib.new(algorithm, archive).hexdigest() != digest:
        raise StepFailed(f"the artifact at {artifact['url']} is not {artifact['digest']}")
    return Seen(f"{len(archive)} bytes, {algorithm}:{digest[:12]}, downloaded and checked", took_s)


def see_build(stage: Stage) -> Seen:
    """The inventory is recorded after the build and before the first object is applied."""
    count = stage.until(
        "the Kustomization has an inventory",
        lambda: len(stage.client.get(_SYNC).get("status", {}).get("inventory", {}).get("entries", [])),
    )
    return Seen(f"{count} objects from {_OVERLAY}", stage.since())


def see_applied(stage: Stage) -> Seen:
    message = stage.until("the Kustomization is Ready", lambda: _ready_at(stage, stage.head()))
    return Seen(message, stage.since())


def see_pods(stage: Stage) -> Seen:
    ready = stage.until("all pods of the Deployment are ready", lambda: _rolled_out(stage))
    return Seen(f"{ready} pods in {_SPACE}", stage.since())


# --- a change in Git ---


def push_new_tag(stage: Stage) -> Seen:
    stage.edit(f"{_OVERLAY}/kustomization.yaml", "newTag: 1.28.0", "newTag: 1.29.0")
    stage.git("commit", "--all", "--message", "Newer nginx")
    stage.git("push", "origin", "main")
    image = stage.until("the Deployment has the new image", lambda: _image(stage, ":1.29.0"))
    return Seen(image, stage.since())


def remove_file(stage: Stage) -> Seen:
    stage.git("rm", f"{_OVERLAY}/refill.yaml")
    stage.edit(f"{_OVERLAY}/kustomization.yaml", "- refill.yaml", None)
    stage.git("commit", "--all", "--message", "The shelves refill themselves")
    stage.git("push", "origin", "main")
    stage.until("the CronJob is gone", lambda: stage.client.find(_CRONJOB) is None)
    return Seen(f"CronJob/{_SPACE}/refill is gone", stage.since())


# --- a change by hand ---


def scale_by_hand(stage: Stage) -> Seen:
    wanted = stage.client.get(_DEPLOYMENT)["spec"]["replicas"]
    stage.kubectl("scale", "deployment/web", "--namespace", _SPACE, "--replicas=9")
    stage.until(
        f"the Deployment has {wanted} replicas again",
        lambda: stage.client.get(_DEPLOYMENT)["spec"]["replicas"] == wanted,
    )
    took_s = stage.since()
    about = f"Deployment/{_SPACE}/web configured"
    stage.quote("event", stage.until("an event that names who changed it", lambda: stage.event(about)))
    return Seen(f"{wanted} replicas again", took_s)


def delete_by_hand(stage: Stage) -> Seen:
    before = stage.client.get(_SERVICE)["metadata"]["uid"]
    stage.kubectl("delete", "service/web", "--namespace", _SPACE)

    def is_back() -> bool:
        service = stage.client.find(_SERVICE)
        return service is not None and service["metadata"]["uid"] != before

    stage.until("the Service is there again", is_back)
    took_s = stage.since()
    about = f"Service/{_SPACE}/web created"
    stage.quote("event", stage.until("an event that tells of it", lambda: stage.event(about)))
    return Seen(f"Service/{_SPACE}/web is back", took_s)


# --- a mistake ---


def push_mistake(stage: Stage) -> Seen:
    stage.app_before_mistake = _identity(stage)
    stage.edit("base/deployment.yaml", "replicas: 2", "replicas 2")
    stage.git("commit", "--all", "--message", "Tidy up")
    stage.git("push", "origin", "main")
    head = stage.head()
    message = stage.until("the Kustomization says what is wrong", lambda: _failed_at(stage, head))
    took_s = stage.since()
    stage.quote("kustomization/shop-staging, Ready=False", message)
    return Seen("its status says what and where", took_s)


def see_untouched(stage: Stage) -> Seen:
    before, after = stage.app_before_mistake, _identity(stage)
    if after != before:
        raise StepFailed(f"the running app was touched: it was {before} and is {after}")
    ready = stage.until("all pods are ready", lambda: _rolled_out(stage))
    return Seen(f"{ready} pods ready; {', '.join(after)} as before")


def revert_mistake(stage: Stage) -> Seen:
    stage.git("revert", "--no-edit", "HEAD")
    stage.git("push", "origin", "main")
    head = stage.head()
    message = stage.until("the Kustomization is Ready again", lambda: _ready_at(stage, head))
    return Seen(message, stage.since())


# --- looks at the cluster ---


def _artifact(stage: Stage, commit: str) -> dict[str, Any]:
    status = stage.client.get(_SOURCE).get("status", {})
    artifact: dict[str, Any] = status.get("artifact", {})
    if not artifact.get("revision", "").endswith(commit):
        raise NotYet(f"artifact of {artifact.get('revision')}, {_told(_condition(status))}")
    return artifact


def _ready_at(stage: Stage, commit: str) -> str:
    """The Ready condition's message once `commit` is applied; its commit is shortened, for people."""
    status = stage.client.get(_SYNC).get("status", {})
    ready = _condition(status)
    if ready["status"] != "True" or not status.get("lastAppliedRevision", "").endswith(commit):
        raise NotYet(_told(ready))
    return str(ready["message"]).replace(commit, commit[:12])


def _failed_at(stage: Stage, commit: str) -> str:
    """The Ready condition's message, as it is, once `commit` has been tried and refused."""
    status = stage.client.get(_SYNC).get("status", {})
    ready = _condition(status)
    if ready["status"] != "False" or not status.get("lastAttemptedRevision", "").endswith(commit):
        raise NotYet(_told(ready))
    return str(ready["message"])


def _condition(status: dict[str, Any]) -> dict[str, Any]:
    """The condition Ready."""
    found = [one for one in status.get("conditions", []) if one["type"] == "Ready"]
    return found[0] if found else {"status": "Unknown", "message": "not reconciled yet"}


def _told(ready: dict[str, Any]) -> str:
    return f"Ready={ready['status']}: {ready['message']}"


def _image(stage: Stage, tag: str) -> str:
    image = str(stage.client.get(_DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"])
    if not image.endswith(tag):
        raise NotYet(f"image {image}, {_told(_condition(stage.client.get(_SYNC).get('status', {})))}")
    return image


def _rolled_out(stage: Stage) -> int:
    """The number of pods once all are of the newest template and ready, and no other is left."""
    deployment = stage.client.get(_DEPLOYMENT)
    wanted, status = deployment["spec"]["replicas"], deployment.get("status", {})
    counts = {status.get(name) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    if status.get("observedGeneration") != deployment["metadata"]["generation"] or counts != {wanted}:
        raise NotYet(f"{wanted} replicas wanted, status {status}")
    return int(wanted)


def _identity(stage: Stage) -> dict[str, tuple[str, str]]:
    """What moves when somebody writes to the app: UIDs and generations, or versions where there is none.

    A Deployment's resourceVersion also moves when its status is counted anew, hence the generation.
    """
    paths = {"Deployment": _DEPLOYMENT, "Service": _SERVICE, "Namespace": f"/api/v1/namespaces/{_SPACE}"}
    seen = {name: stage.client.get(path)["metadata"] for name, path in paths.items()}
    return {
        name: (meta["uid"], str(meta.get("generation") or meta["resourceVersion"]))
        for name, meta in seen.items()
    }
