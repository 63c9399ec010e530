"""F27, F28: a source that suddenly says less, or nothing, or nonsense, deletes nothing.

Twenty live objects; then somebody makes a mistake. What cannot be built changes nothing at all; what builds
to too little is held until a person says yes, and Ready says how many objects wait.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.lane import Case, Files, Lane
from tests.faults.stories import listing
from tests.harness import replay
from tests.harness.wait import eventually

COUNT = 20
KINDS = frozenset({"ConfigMap"})
_SOURCES = "/apis/source.toolkit.fluxcd.io/v1"


def config_map(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: TOKEN}}\ndata: {{a: b}}\n"


NAMES = tuple(f"app-{number:02}" for number in range(COUNT))
TWENTY: Files = {
    "deploy/kustomization.yaml": listing(*(f"{name}.yaml" for name in NAMES)),
    **{f"deploy/{name}.yaml": config_map(name) for name in NAMES},
    "other/kustomization.yaml": listing("one.yaml"),
    "other/one.yaml": config_map("one"),
}


@pytest.fixture
def twenty(lane: Lane) -> Iterator[Case]:
    """Twenty objects, applied from the folder deploy."""
    case = start(lane)
    yield case
    case.leave()


def start(lane: Lane) -> Case:
    case = lane.case()
    case.publish(TWENTY, path="deploy")
    case.create(path="./deploy")
    case.await_converged()
    assert len(case.snapshot(KINDS)) == COUNT
    return case


def path_typo(case: Case) -> None:
    case.set_spec(path="./deplyo")


def path_of_another_app(case: Case) -> None:
    case.expect(case.worktree, "other")
    case.set_spec(path="./other")


def force_pushed_empty(case: Case) -> None:
    case.worktree.git("checkout", "--quiet", "--orphan", "fresh")
    case.worktree.git("rm", "-r", "--quiet", "--cached", ".")
    case.worktree.git("clean", "-fdq")
    case.worktree.git("branch", "--quiet", "-M", "main")
    case.worktree.commit("nothing")
    case.push(builds=False, force=True)


def force_pushed_unrelated(case: Case) -> None:
    case.worktree.write({"deploy": None, "other": None})
    case.worktree.write({"deploy/kustomization.yaml": listing("one.yaml")})
    case.worktree.write({"deploy/one.yaml": config_map("one").replace("TOKEN", case.token)})
    case.worktree.git("commit", "--quiet", "--all", "--amend", "--allow-empty", "--message=another app")
    case.worktree.git("add", "--all")
    case.worktree.git("commit", "--quiet", "--amend", "--no-edit")
    case.push(path="deploy", force=True)


def ignored_whole(case: Case) -> None:
    case.publish({".sourceignore": "/*\n"}, builds=False)


def ignored_but_the_listing(case: Case) -> None:
    files: Files = {
        ".sourceignore": "/deploy/app-*.yaml\n",
        "deploy/kustomization.yaml": "namespace: TOKEN\nconfigMapGenerator: [{name: g, literals: [a=b]}]\n",
    }
    case.publish(files, path="deploy")


def more_than_half_deleted(case: Case) -> None:
    files: Files = {"deploy/kustomization.yaml": listing(*(f"{name}.yaml" for name in NAMES[:9]))}
    case.publish(files, path="deploy")


def emptied_listing(case: Case) -> None:
    """To the contract that is a build without objects, not a failed one."""
    case.publish({"deploy/kustomization.yaml": ""}, builds=False)


def repointed_source(case: Case) -> None:
    stranger = case.lane.world.git_server.create(f"{case.token}-stranger")
    files = {"deploy/kustomization.yaml": listing("one.yaml"), "deploy/one.yaml": config_map("one")}
    stranger.publish({name: text.replace("TOKEN", case.token) for name, text in files.items()})
    case.expect(stranger, "deploy")
    url = case.lane.world.git_server.url(f"{case.token}-stranger")
    path = f"{_SOURCES}/namespaces/{case.token}/gitrepositories/app"
    case.client.merge(path, {"spec": {"url": url}})


# id: (the mistake, reason of Ready=False, words of its message)
MISTAKES: dict[str, tuple[Callable[[Case], None], str, str]] = {
    "the path has a typo": (path_typo, "ArtifactFailed", "./deplyo"),
    "the path is another app's": (path_of_another_app, "PruneHeld", "20 of 20 objects"),
    "the branch was force-pushed empty": (force_pushed_empty, "ArtifactFailed", "./deploy"),
    "the branch was force-pushed with another app": (force_pushed_unrelated, "PruneHeld", "20 of 20 objects"),
    ".sourceignore swallows all": (ignored_whole, "ArtifactFailed", "./deploy"),
    ".sourceignore swallows all but a generator": (ignored_but_the_listing, "PruneHeld", "20 of 20 objects"),
    "kustomization.yaml was emptied": (emptied_listing, "PruneHeld", "20 of 20 objects"),
    "more than half left at once": (more_than_half_deleted, "PruneHeld", "11 of 20 objects"),
    "the source was repointed": (repointed_source, "PruneHeld", "20 of 20 objects"),
}


@pytest.mark.parametrize(("mistake", "reason", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_deletes_nothing(
    twenty: Case, mistake: Callable[[Case], None], reason: str, words: str
) -> None:
    mistake(twenty)
    eventually(lambda: twenty.ready() if twenty.ready()["status"] == "False" else None, 10, "Ready=False")
    ready = twenty.ready()
    assert (ready["reason"], words in ready["message"]) == (reason, True), ready
    keeps_all(twenty)
    if reason == "PruneHeld":
        twenty.held = frozenset(twenty.uids)
    twenty.check(KINDS)


def test_a_held_prune_goes_on_with_the_source(twenty: Case) -> None:
    """The mistake is undone in Git: all is as before, and nothing was ever deleted."""
    more_than_half_deleted(twenty)
    eventually(lambda: twenty.ready()["reason"] == "PruneHeld", 10, "a held prune")
    twenty.publish({"deploy/kustomization.yaml": TWENTY["deploy/kustomization.yaml"]}, path="deploy")
    twenty.await_converged()
    keeps_all(twenty)
    twenty.check(KINDS)


_FUNCTION = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: f
  annotations:
    config.kubernetes.io/function: |
      exec: {path: ./f.sh}
"""
_GOOD = listing(*(f"{name}.yaml" for name in NAMES))
_BAD_BUILDS: dict[str, Files] = {
    "kustomization.yaml is no YAML": {"deploy/kustomization.yaml": "resources: [\n"},
    "two listings": {"deploy/kustomization.yml": _GOOD},
    "a listing of another kind": {"deploy/kustomization.yaml": _GOOD + "kind: Deployment\n"},
    "a resource that is missing": {"deploy/kustomization.yaml": listing("gone.yaml")},
    "a resource that is no YAML": {"deploy/app-00.yaml": "a: [\n"},
    "a resource that is a word": {"deploy/app-00.yaml": "word\n"},
    "a resource without a kind": {"deploy/app-00.yaml": "apiVersion: v1\nmetadata: {name: a}\n"},
    "a resource without a name": {"deploy/app-00.yaml": "apiVersion: v1\nkind: ConfigMap\n"},
    "the second document of a file is unreadable": {
        "deploy/app-00.yaml": config_map("app-00") + "---\nb: {\n"
    },
    "one object twice": {"deploy/app-00.yaml": config_map("app-01")},
    "a patch without its target": {
        "deploy/kustomization.yaml": _GOOD
        + "patches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: gone}}'}]\n"
    },
    "a patch of a path that is not there": {
        "deploy/kustomization.yaml": _GOOD
        + "patches: [{target: {kind: ConfigMap}, patch: '[{op: remove, path: /data/gone}]'}]\n"
    },
    "a ring": {
        "deploy/kustomization.yaml": listing("ring"),
        "deploy/ring/kustomization.yaml": listing("../../deploy"),
    },
    "a generator's file is missing": {
        "deploy/kustomization.yaml": _GOOD + "configMapGenerator: [{name: g, files: [gone.txt]}]\n"
    },
    "a generator's variables are missing": {
        "deploy/kustomization.yaml": _GOOD + "secretGenerator: [{name: g, envs: [gone.env]}]\n"
    },
    "a file outside of the source": {"deploy/kustomization.yaml": listing("../../../../etc/hostname")},
    "a remote base": {"deploy/kustomization.yaml": listing("https://127.0.0.1:9/base.yaml")},
    "a chart": {"deploy/kustomization.yaml": _GOOD + "helmCharts: [{name: c, repo: https://127.0.0.1:9}]\n"},
    "a program": {
        "deploy/kustomization.yaml": _GOOD + "transformers: [f.yaml]\n",
        "deploy/f.yaml": _FUNCTION,
    },
    "a component that is missing": {"deploy/kustomization.yaml": _GOOD + "components: [gone]\n"},
    "a replacement without its source": {
        "deploy/kustomization.yaml": _GOOD + "replacements: [{source: {kind: Secret, name: gone}, "
        "targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a]}]}]\n"
    },
}


@pytest.fixture(scope="module")
def broken(lane: Lane) -> Case:
    """Twenty objects for all failing builds, one after the other."""
    return start(lane)


@pytest.mark.parametrize("files", _BAD_BUILDS.values(), ids=_BAD_BUILDS)
def test_a_failed_build_changes_nothing(broken: Case, files: Files) -> None:
    revision = broken.publish(files, builds=False)
    eventually(lambda: attempted(broken) == (revision, "False"), 10, f"a failed build of {revision}")
    assert broken.ready()["reason"] == "BuildFailed", broken.ready()
    keeps_all(broken)
    broken.check(KINDS, still_s=0)
    broken.worktree.git("rm", "-r", "--quiet", "--force", ".")
    broken.worktree.write(
        {name: text and text.replace("TOKEN", broken.token) for name, text in TWENTY.items()}
    )


def test_after_all_failures_a_good_build_is_applied(broken: Case) -> None:
    broken.publish({"deploy/app-00.yaml": config_map("app-00").replace("a: b", "a: c")}, path="deploy")
    broken.await_converged()
    keeps_all(broken)
    broken.check(KINDS)
    broken.leave()


def attempted(case: Case) -> tuple[str | None, str | None]:
    return case.read().get("status", {}).get("lastAttemptedRevision"), case.ready().get("status")


def keeps_all(case: Case) -> None:
    """Nothing was deleted so far, the twenty objects are the same ones, and the inventory has them."""
    before = dict(case.uids)
    after = case.snapshot(KINDS)
    case.uids = before
    assert replay.deletes(case.past()) == []
    assert {id_: after.get(id_) for id_ in before} == before
    entries = {entry["id"] for entry in case.read()["status"]["inventory"]["entries"]}
    assert set(before) <= entries
