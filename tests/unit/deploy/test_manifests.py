"""What deploy/ says about the controllers is what their code says, and what pods of a guarded namespace may
be."""

import tomllib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from kustomize_controller import settings as kustomize_settings
from kustomize_controller import unpack
from kustomize_controller.kustomization import build
from shared.api.kinds import KINDS
from shared.runtime import process
from shared.runtime.flags import Address
from source_controller import settings as source_settings
from source_controller.gitrepository import checkout
from tests.harness.deployment import Workload, workloads

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

Settings = source_settings.Settings | kustomize_settings.Settings
READ: dict[str, Callable[[list[str], Mapping[str, str]], Settings]] = {
    "source_controller": source_settings.read,
    "kustomize_controller": kustomize_settings.read,
}
ADDRESSES = {"http": "storage-addr", "http-prom": "metrics-addr", "healthz": "health-addr"}  # by port name
CONTROLLER_BYTES = 256 << 20  # of one controller without children, at 1,000 Kustomizations, rounded up
LOCKDOWN = {"no-cross-namespace-refs": True, "no-remote-bases": True, "default-service-account": "default"}


def documents(*folders: str) -> list[dict[str, Any]]:
    files = [file for folder in folders for file in sorted((DEPLOY / folder).glob("*.yaml"))]
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


WORKLOADS = workloads(documents("controllers"))


def settings_of(workload: Workload, *more: str) -> Settings:
    return READ[workload.package]([*workload.args, *more], workload.environment)


@pytest.fixture(params=list(WORKLOADS.values()), ids=list(WORKLOADS))
def workload(request: pytest.FixtureRequest) -> Workload:
    one: Workload = request.param
    return one


def test_every_controller_has_one() -> None:
    packages = [path.parent.name for path in ROOT.glob("*_controller/__main__.py")]
    assert sorted(one.package for one in WORKLOADS.values()) == sorted(packages)


def test_a_pod_has_the_time_to_stop(workload: Workload) -> None:
    grace_s = import_module(f"{workload.package}.__main__").GRACE_S
    most_s = grace_s + process.EVENTS_S + process.CLOSE_S
    assert workload.template["spec"]["terminationGracePeriodSeconds"] > most_s


def test_each_runs_the_package_of_its_name(workload: Workload) -> None:
    assert workload.container["command"] == ["python", "-m", workload.name.replace("-", "_")]


def test_every_flag_is_accepted_and_does_something(workload: Workload) -> None:
    assert settings_of(workload).unheeded == ()


def test_one_replica_of_several_works(workload: Workload) -> None:
    """Also while a new pod replaces an old one."""
    settings = settings_of(workload)
    assert settings.flags["enable-leader-election"] is True
    assert workload.environment["RUNTIME_NAMESPACE"] == "flux-system"
    assert "POD_UID" in workload.environment


def test_ports_are_those_that_are_listened_on(workload: Workload) -> None:
    flags = settings_of(workload).flags
    listening = {name: flags[flag] for name, flag in ADDRESSES.items() if flag in flags}
    assert listening == {name: Address("", port) for name, port in workload.ports.items()}


def test_probes_ask_a_port_that_is_there(workload: Workload) -> None:
    """Paths: telemetry.md 1. The artifact server listens on the leader only."""
    ready, alive = (workload.container[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe"))
    assert alive == {"path": "/healthz", "port": "healthz"}
    serves = "http" in workload.ports
    assert ready == ({"path": "/", "port": "http"} if serves else {"path": "/readyz", "port": "healthz"})


def test_prometheus_finds_the_metrics(workload: Workload) -> None:
    said = workload.template["metadata"]["annotations"]
    assert said == {"prometheus.io/scrape": "true", "prometheus.io/port": str(workload.ports["http-prom"])}


def test_artifacts_are_fetched_through_the_service() -> None:
    [service] = [one for one in documents("controllers") if one["kind"] == "Service"]
    source = WORKLOADS["source-controller"]
    settings = settings_of(source)
    assert isinstance(settings, source_settings.Settings)
    metadata = service["metadata"]
    assert settings.base_url == f"http://{metadata['name']}.{metadata['namespace']}.svc"
    [port] = service["spec"]["ports"]
    assert (port["port"], source.ports[port["targetPort"]]) == (80, 9090)
    labels = source.template["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_tools_find_the_arguments_that_they_patch_by_position() -> None:
    """`flux install` replaces these (telemetry.md 5)."""
    for workload in WORKLOADS.values():
        names = [arg.partition("=")[0] for arg in workload.args]
        assert names[:3] == ["--events-addr", "--watch-all-namespaces", "--log-level"]
    assert WORKLOADS["source-controller"].args[6].startswith("--storage-adv-addr=")


def folders_written(settings: Settings) -> list[Path]:
    if isinstance(settings, source_settings.Settings):
        return [settings.storage_path, settings.git_cache]
    return [settings.cache_path, settings.state_path]


def test_what_is_written_lies_on_a_volume(workload: Workload) -> None:
    """The root file system is read-only."""
    assert workload.container["securityContext"]["readOnlyRootFilesystem"] is True
    assert Path("/tmp") in workload.mounts  # noqa: S108  # the pod's own
    for folder in folders_written(settings_of(workload)):
        assert any(folder.is_relative_to(mount) for mount in workload.mounts), folder
    volumes = workload.template["spec"]["volumes"]
    mounts = [one["name"] for one in workload.container["volumeMounts"]]
    assert [one["name"] for one in volumes] == mounts
    assert all(one.keys() == {"name", "emptyDir"} for one in volumes)


def test_what_tenants_fill_has_a_limit() -> None:
    """Kubernetes evicts the pod that exceeds it, and not its neighbours on a full node."""
    volumes = WORKLOADS["source-controller"].template["spec"]["volumes"]
    assert {one["name"]: one["emptyDir"].get("sizeLimit") for one in volumes} == {
        "data": "50Gi",
        "cache": "50Gi",
        "tmp": "1Gi",
    }


def test_a_folder_that_is_removed_at_start_is_no_mount() -> None:
    workload = WORKLOADS["kustomize-controller"]
    settings = settings_of(workload)
    assert isinstance(settings, kustomize_settings.Settings)
    assert settings.cache_path not in workload.mounts


def test_pods_have_no_more_rights_than_restricted_ones(workload: Workload) -> None:
    """telemetry.md 8; the admission of real pods is tested in tests/integration/test_deploy.py."""
    guarded = workload.container["securityContext"]
    assert guarded["runAsUser"] == guarded["runAsGroup"] == 65534
    assert guarded["runAsNonRoot"] is True
    assert guarded["allowPrivilegeEscalation"] is False
    assert guarded["capabilities"] == {"drop": ["ALL"]}
    assert guarded["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.template["spec"]["securityContext"] == {"fsGroup": 1337}


CHILDREN_BYTES = {  # what may be in use at once before a child is ended by its own limit
    "source-controller": 2 * checkout.MEMORY_LIMIT_BYTES,
    "kustomize-controller": build.Limits().memory_bytes + unpack.MEMORY_BYTES,
}


def test_a_child_is_ended_before_the_whole_pod_is(workload: Workload) -> None:
    """Kubernetes ends all processes of a container that is above its limit."""
    limit = workload.container["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert int(limit.removesuffix("Gi")) << 30 >= CONTROLLER_BYTES + CHILDREN_BYTES[workload.name]
    assert set(workload.container["resources"]["requests"]) == {"cpu", "memory"}


def test_children_are_as_many_as_is_reckoned_with() -> None:
    settings = settings_of(WORKLOADS["source-controller"])
    assert isinstance(settings, source_settings.Settings)
    assert settings.concurrent == 2


def test_the_image_is_of_this_version(workload: Workload) -> None:
    """With a tag, for `flux version` shows it (cli.md 1)."""
    assert workload.container["image"] == f"headrace:{PROJECT['project']['version']}"


def test_the_flux_cli_finds_it(workload: Workload) -> None:
    """cli.md 1; the labels that all objects get are tested as they are rendered."""
    assert workload.deployment["metadata"]["namespace"] == "flux-system"
    assert [one["name"] for one in workload.template["spec"]["containers"]] == ["manager"]
    labels = workload.template["metadata"]["labels"]
    assert labels == {"app": workload.name, "app.kubernetes.io/component": workload.name}
    # As in Flux's own Deployment: a selector cannot be changed later.
    assert workload.deployment["spec"]["selector"] == {"matchLabels": {"app": workload.name}}


# --- lockdown ---


def lockdown_args(name: str) -> list[str]:
    [overlay] = [one for one in documents("lockdown") if one["kind"] == "Kustomization"]
    patches = [
        one["patch"] for one in overlay["patches"] if one["target"] == {"kind": "Deployment", "name": name}
    ]
    operations = [operation for patch in patches for operation in yaml.safe_load(patch)]
    assert {(one["op"], one["path"]) for one in operations} <= {
        ("add", "/spec/template/spec/containers/0/args/-")
    }
    return [one["value"] for one in operations]


def test_lockdown_sets_the_flags_of_the_contract() -> None:
    """telemetry.md 9. The source controller has no such flag: there it concerns cloud identities only."""
    settings = settings_of(WORKLOADS["kustomize-controller"], *lockdown_args("kustomize-controller"))
    assert {name: settings.flags[name] for name in LOCKDOWN} == LOCKDOWN
    assert lockdown_args("source-controller") == []


def test_a_flag_of_lockdown_is_not_said_to_change_nothing(workload: Workload) -> None:
    assert settings_of(workload, *lockdown_args(workload.name)).unheeded == ()


# --- rights ---


def rules(name: str) -> list[dict[str, Any]]:
    """Of the ClusterRole `<name>-flux-system`."""
    [role] = [
        one
        for one in documents("rbac")
        if one["kind"] == "ClusterRole" and one["metadata"]["name"] == f"{name}-flux-system"
    ]
    found: list[dict[str, Any]] = role["rules"]
    return found


def verbs(name: str, group: str, resource: str) -> set[str]:
    return {
        verb
        for rule in rules(name)
        if group in rule["apiGroups"] and ({resource, "*"} & set(rule["resources"]))
        for verb in rule["verbs"]
    }


OWNERS = {
    "source.toolkit.fluxcd.io": "source-controller",
    "kustomize.toolkit.fluxcd.io": "kustomize-controller",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_kind_has_an_owner_and_readers(kind: Any) -> None:
    owner = OWNERS[kind.group]
    assert verbs(owner, kind.group, kind.plural) == {"get", "list", "watch", "patch"}
    assert verbs(owner, kind.group, f"{kind.plural}/status") == {"patch"}
    assert verbs("flux-view", kind.group, kind.plural) == {"get", "list", "watch"}
    assert {"create", "update", "patch", "delete"} <= verbs("flux-edit", kind.group, kind.plural)
    assert verbs("flux-edit", kind.group, f"{kind.plural}/status") == set()


def test_the_controllers_own_roles_have_no_wildcards() -> None:
    for name in OWNERS.values():
        for rule in rules(name):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_nobody_but_the_owner_of_lockdown_impersonates() -> None:
    """And nobody a user or a group."""
    for folder in ("rbac", "lockdown", "controllers", "namespace", "."):
        for document in documents(folder):
            for rule in document.get("rules", []):
                if "impersonate" in rule["verbs"]:
                    assert (folder, rule["resources"]) == ("lockdown", ["serviceaccounts"])
