"""The lab keeps its promises: real components start, serve as real ones do, and leave nothing behind."""

import gzip
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from lab.apiclient import ApiRefused
from lab.certs import Authority
from lab.controlplane import ControlPlane
from lab.gitserver import Answer, Basic, Bearer, GitServer
from lab.processes import Command, Process, ProcessFailed, clean_environment
from lab.tools import MissingTool, Tools
from lab.usage import is_alive, living
from lab.worktree import GitFailed, git
from tests.harness.wait import NotInTime, eventually

_ROOT = Path(__file__).parent.parent.parent

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.com/web:1}]}
"""


def test_crds_are_served(cluster: ControlPlane, namespace: str) -> None:
    cluster.create_namespace(namespace)
    assert "items" in cluster.client.get(
        f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations"
    )
    assert "items" in cluster.client.get(
        f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/gitrepositories"
    )


def test_objects_survive_a_restart_of_the_api_server(cluster: ControlPlane, namespace: str) -> None:
    cluster.create_namespace(namespace)
    before = cluster.pids
    cluster.restart_apiserver()
    assert cluster.client.find(f"/api/v1/namespaces/{namespace}") is not None
    assert cluster.pids["etcd"] == before["etcd"]
    assert cluster.pids["kube-apiserver"] != before["kube-apiserver"]


def test_a_user_may_do_only_what_rbac_says(cluster: ControlPlane, namespace: str) -> None:
    cluster.create_namespace(namespace)
    cluster.kubectl("create", "role", "dev", "--verb=create", "--resource=configmaps", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "dev", "--role=dev", "--group=developers", "-n", namespace)
    user = ["--kubeconfig", str(cluster.user_kubeconfig("bob", ["developers"]))]
    # The authorizer reads bindings from a watch, so a new one counts a moment later.
    eventually(
        lambda: cluster.kubectl("create", "configmap", "mine", "-n", namespace, *user), 10, "bob may create"
    )
    with pytest.raises(RuntimeError, match="forbidden"):
        cluster.kubectl("create", "configmap", "mine", "-n", "default", *user)


def test_a_service_account_has_a_token(cluster: ControlPlane, namespace: str) -> None:
    cluster.create_namespace(namespace)
    account = cluster.service_account_kubeconfig(namespace, "reconciler")
    said = cluster.kubectl(
        "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", "--kubeconfig", str(account)
    )
    assert said == f"system:serviceaccount:{namespace}:reconciler"


def test_requests_are_counted_by_the_audit_log(cluster: ControlPlane, namespace: str) -> None:
    with pytest.raises(ApiRefused):
        cluster.client.get(f"/api/v1/namespaces/{namespace}")
    eventually(lambda: namespace in cluster.audit_log.read_text(), 10, "the request is in the audit log")


def test_a_deployment_becomes_ready(cluster_full: ControlPlane, namespace: str) -> None:
    cluster_full.create_namespace(namespace)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    cluster_full.kubectl("apply", "-n", namespace, "-f", "-", input=DEPLOYMENT)
    eventually(
        lambda: cluster_full.client.get(path)["status"].get("readyReplicas") == 3, 30, "three ready pods"
    )
    cluster_full.kubectl("delete", "namespace", namespace, "--wait=false")
    eventually(
        lambda: cluster_full.client.find(f"/api/v1/namespaces/{namespace}") is None,
        60,
        "the namespace is gone",
    )


def test_a_job_completes(cluster_full: ControlPlane, namespace: str) -> None:
    cluster_full.create_namespace(namespace)
    cluster_full.kubectl("create", "job", "once", "--image=example.com/once:1", "-n", namespace)
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/once"
    eventually(
        lambda: cluster_full.client.get(path).get("status", {}).get("succeeded"), 30, "the job completes"
    )


@pytest.mark.parametrize("protocol", ["0", "1", "2"])
def test_clone_and_push(git_server: GitServer, tmp_path: Path, protocol: str) -> None:
    name = f"team/clone-v{protocol}"
    commit = git_server.create(name).publish({"a/b.yaml": "kind: A\n", "bin": b"\0\xff"})
    git(tmp_path, "-c", f"protocol.version={protocol}", "clone", "--quiet", git_server.url(name), "clone")
    clone = tmp_path / "clone"
    assert git(clone, "rev-parse", "HEAD") == commit
    assert (clone / "bin").read_bytes() == b"\0\xff"
    (clone / "new").write_bytes(os.urandom(3_000_000))  # beyond http.postBuffer: git sends it in chunks
    git(clone, "add", "new")
    git(clone, "commit", "--quiet", "-m", "new")
    git(clone, "push", "--quiet")
    assert git(git_server.bare(name), "rev-parse", "main") == git(clone, "rev-parse", "HEAD")
    seen = git_server.requests(name)
    assert max(request.received_bytes for request in seen) > 3_000_000
    assert {request.protocol for request in seen if "upload-pack" in request.target} == {
        "" if protocol == "0" else f"version={protocol}"
    }


def test_gzipped_request(git_server: GitServer) -> None:
    commit = git_server.create("gzipped").publish({"a": "1"})
    want = f"0032want {commit}\n00000009done\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", git_server.port)
    headers = {"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": "gzip"}
    connection.request("POST", "/gzipped.git/git-upload-pack", gzip.compress(want), headers)
    body = connection.getresponse().read()
    connection.close()
    assert body.startswith(b"0008NAK\nPACK")
    assert git_server.requests("gzipped")[-1].sent_bytes == len(body)


def test_credentials(git_server: GitServer) -> None:
    git_server.create("closed").publish({"a": "1"})
    basic, bearer = Basic("bob", "p:w/ü"), Bearer("t0ken")
    git_server.protect("closed", basic, bearer)
    url = git_server.url("closed")
    for header in (basic.header(), bearer.header()):
        assert "refs/heads/main" in git(
            Path("/"), "-c", f"http.extraHeader=Authorization: {header}", "ls-remote", url
        )
    with pytest.raises(GitFailed, match="could not read Username"):
        git(Path("/"), "ls-remote", url)
    git_server.forget_requests()
    with pytest.raises(GitFailed):
        git(Path("/"), "-c", f"http.extraHeader=Authorization: {Bearer('other').header()}", "ls-remote", url)
    assert {request.status for request in git_server.requests("closed")} == {401}


def test_another_answer_than_git_s(git_server: GitServer) -> None:
    git_server.create("ill").publish({"a": "1"})
    git_server.answer("ill", Answer(status=503, headers={"Retry-After": "1"}, body=b"later"))
    with pytest.raises(GitFailed, match="503"):
        git(Path("/"), "ls-remote", git_server.url("ill"))
    git_server.answer("ill", None)
    assert "refs/heads/main" in git(Path("/"), "ls-remote", git_server.url("ill"))


def test_https(tmp_path: Path) -> None:
    authority = Authority("test")
    serving = authority.issue_server("git", ["127.0.0.1"])
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "serving.pem").write_bytes(serving.public_pem + serving.private_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "serving.pem")
    with GitServer(tls=context) as server:
        server.create("secure").publish({"a": "1"})
        with pytest.raises(GitFailed, match="certificate"):
            git(tmp_path, "ls-remote", server.url("secure"))
        trusting = ["-c", f"http.sslCAInfo={tmp_path / 'ca.pem'}"]
        assert "refs/heads/main" in git(tmp_path, *trusting, "ls-remote", server.url("secure"))


def test_certificates_pass_strict_checks(cluster: ControlPlane) -> None:
    """As Python 3.13 and later check them by default."""
    context = ssl.create_default_context(cadata=cluster.client.authority_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", cluster.client.port)) as plain,
        context.wrap_socket(plain, server_hostname="kubernetes.default.svc") as connection,
    ):
        assert connection.version() == "TLSv1.3"


def test_a_worktree_does_what_people_do(git_server: GitServer) -> None:
    tree = git_server.create("people")
    first = tree.publish({"a": "1", "d/e": "2"})
    tree.tag("v1", "the first")
    tree.branch("side")
    second = tree.publish({"a": None, "d": None, "c": "3"})
    bare = git_server.bare("people")
    assert git(bare, "rev-parse", "main", "side", "v1^{commit}").split() == [first, second, first]
    assert git(bare, "ls-tree", "-r", "--name-only", "side") == "c"


def test_a_process_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    process = Process(_python(tmp_path, "import sys; sys.exit('no disk')"))
    try:
        with pytest.raises(ProcessFailed, match=r"ended with 1 before it was ready[\s\S]*no disk"):
            process.await_ready(lambda: "never", 30)
    finally:
        process.stop()


def test_a_process_that_is_never_ready_says_what_is_missing(tmp_path: Path) -> None:
    process = Process(_python(tmp_path, "import time; time.sleep(60)"))
    try:
        with pytest.raises(ProcessFailed, match=r"not ready after 0\.1 s: a port"):
            process.await_ready(lambda: "a port", 0.1)
    finally:
        process.stop()
    assert process.exit_code() == -signal.SIGTERM


def test_stop_ends_what_ignores_it_and_what_left_the_session(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    starts = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True)"
    )
    process = Process(_python(tmp_path, f"{starts}\n{stubborn}"))
    pids = eventually(lambda: len(living(process.pid)) == 2 and living(process.pid), 10, "a child of its own")
    process.stop(grace_s=0.2)
    assert process.exit_code() == -signal.SIGKILL
    assert [pid for pid in pids or [] if is_alive(pid)] == []


def test_nothing_outlives_a_killed_parent(tools: Tools, tmp_path: Path) -> None:
    """kill -9 of the process that started a control plane: every process ends, etcd's data goes."""
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from lab.controlplane import ControlPlane\n"
        "from lab.tools import Tools\n"
        "plane = ControlPlane(Tools.from_environment(), folder=Path(sys.argv[1])).start()\n"
        "print(*plane.pids.values(), plane.processes['etcd'].command.remove, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = clean_environment(
        tmp_path, {"HEADRACE_TOOLS_DIR": str(tools.folder), "PYTHONPATH": str(_ROOT)}
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], env=environment, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    *pids, data = parent.stdout.readline().decode().split()
    assert len(pids) == 5
    assert all(is_alive(int(pid)) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: [pid for pid in pids if is_alive(int(pid))] == [], 10, "no process is left")
    eventually(lambda: not Path(data).exists(), 10, "etcd's data is gone")


def test_a_missing_tool_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match=r"start through \./run"):
        Tools.from_environment({})
    with pytest.raises(MissingTool, match=r"\./run builds it"):
        Tools(tmp_path).path("etcd")


def test_waiting_reports_what_was_seen() -> None:
    with pytest.raises(NotInTime, match=r"not within 0\.1 s: rain; seen instead: \[\]"):
        eventually(list, 0.1, "rain")


def _python(folder: Path, source: str) -> Command:
    return Command(
        name="probe",
        argv=[sys.executable, "-c", source],
        log=folder / "probe.log",
        environment=clean_environment(folder),
    )
