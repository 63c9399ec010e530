"""Variables in manifests: where they come from, what becomes of them, who is woken, and what stays secret."""

from typing import Any

from tests.harness.audit import Audit, Entry
from tests.harness.canaries import Canaries
from tests.harness.manifests import Manifest, config_map, secret, service_account
from tests.harness.story import KUSTOMIZE, Story, conditions
from tests.integration.conftest import KUSTOMIZE_USER, Pair

WATCHED = {"reconcile.fluxcd.io/watch": "Enabled"}
SUBSTITUTE = f"{KUSTOMIZE}/substitute"


def settings(story: Story, name: str = "settings", *, watched: bool = False, **data: str) -> None:
    """A ConfigMap to take variables from."""
    labels = WATCHED if watched else {}
    story.create("ConfigMap", name, {"metadata": {"labels": labels}, "data": data})


def login(story: Story, name: str = "login", *, watched: bool = False, **data: str) -> None:
    """A Secret to take variables from."""
    labels = WATCHED if watched else {}
    story.create("Secret", name, {"metadata": {"labels": labels}, "stringData": data})


def taken_from(*names: str, **more: Any) -> dict[str, Any]:
    """A postBuild with variables from `Kind/name`; a question mark after it makes it optional."""
    refs = [
        {"kind": kind, "name": name.rstrip("?"), "optional": name.endswith("?")}
        for kind, _, name in (each.partition("/") for each in names)
    ]
    return {"substituteFrom": refs, **more}


def patches(audit: Audit, story: Story) -> list[Entry]:
    """Writes to the tenant's objects."""
    ours = ("kustomizations", "events")
    asked = audit.entries([KUSTOMIZE_USER])
    return [e for e in asked if e.namespace == story.namespace and e.is_write and e.resource not in ours]


# --- what becomes of a text ---


def test_every_source_in_its_order(story: Story) -> None:
    """A later one counts before an earlier one, and the spec's own before all."""
    settings(story, "one", a="one", b="one", c="one", d="one")
    settings(story, "two", b="two", c="two", d="two")
    login(story, "three", c="three", d="three")
    shown = config_map("shown", story.namespace, a="${a}", b="${b}", c="${c}", d="${d}", e="${e:=five}")
    names = ("ConfigMap/one", "ConfigMap/two", "Secret/three", "ConfigMap/absent?")
    story.start({"app/a.yaml": [shown]}, postBuild=taken_from(*names, substitute={"d": "four"}))
    assert story.data("shown") == {"a": "one", "b": "two", "c": "three", "d": "four", "e": "five"}


def test_typed_values_and_texts(story: Story) -> None:
    """A number or a boolean is one where nothing says otherwise; all that looked like text stays text."""
    objects: list[Manifest] = [
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": story.namespace},
            "spec": {"ports": [{"port": "${port}"}], "publishNotReadyAddresses": "${early}"},
        },
        config_map(
            "texts", story.namespace, octal="0o17", yes="yes", number="1e3", empty="", lines="a\n b\n",
            escaped="$${port}", plain="$port $(port)",
        ),
    ]  # fmt: skip
    story.start({"app/a.yaml": objects}, postBuild={"substitute": {"port": "8080", "early": "true"}})
    found = story.get("Service", "web")["spec"]
    assert (found["ports"][0]["port"], found["publishNotReadyAddresses"]) == (8080, True)
    assert story.data("texts") == {
        "octal": "0o17", "yes": "yes", "number": "1e3", "empty": "", "lines": "a\n b\n",
        "escaped": "${port}", "plain": "$port $(port)",
    }  # fmt: skip


def test_an_object_may_opt_out(story: Story) -> None:
    """By label or annotation, and exactly so."""
    objects = [
        config_map("by-annotation", story.namespace, annotations={SUBSTITUTE: "disabled"}, x="${a}"),
        {**config_map("by-label", story.namespace, x="${a}")},
        config_map("otherwise", story.namespace, annotations={SUBSTITUTE: "Disabled"}, x="${a}"),
    ]
    objects[1]["metadata"]["labels"] = {SUBSTITUTE: "disabled"}
    story.start({"app/a.yaml": objects}, postBuild={"substitute": {"a": "b"}})
    assert {name: story.data(name)["x"] for name in ("by-annotation", "by-label", "otherwise")} == {
        "by-annotation": "${a}", "by-label": "${a}", "otherwise": "b",
    }  # fmt: skip


def test_without_variables_only_if_asked(story: Story) -> None:
    story.start(
        {"app/a.yaml": [config_map("a", story.namespace, x="${m:-d} $$")]}, postBuild={"substitute": {}}
    )
    assert story.data("a") == {"x": "${m:-d} $$"}
    story.respec(postBuild={"substituteStrategy": "Always"})
    story.ready()
    assert story.data("a") == {"x": "d $"}


def test_opted_out_objects_need_no_variables(story: Story) -> None:
    """A ConfigMap that is not there matters to nobody then."""
    plain = config_map("a", story.namespace, annotations={SUBSTITUTE: "disabled"})
    story.start({"app/a.yaml": [plain]}, postBuild=taken_from("ConfigMap/absent"))


def test_names_and_common_metadata(story: Story) -> None:
    """What the spec sets on objects is set once, and not substituted."""
    story.start(
        {"app/a.yaml": [config_map("${name}", story.namespace, x="1")]},
        postBuild={"substitute": {"name": "settings"}},
        commonMetadata={"annotations": {"note": "${name}"}, "labels": {"team": "a"}},
        namePrefix="my-",
    )
    metadata = story.get("ConfigMap", "my-settings")["metadata"]
    assert metadata["annotations"] == {"note": "${name}"}
    assert metadata["labels"]["team"] == "a"
    assert story.inventory() == [f"{story.namespace}_my-settings__ConfigMap"]


def test_a_source_that_is_listed_twice_counts_in_its_last_place(story: Story, audit: Audit) -> None:
    """And is read once."""
    settings(story, "one", a="one")
    settings(story, "two", a="two")
    names = ("ConfigMap/one?", "ConfigMap/two", "ConfigMap/absent?", "ConfigMap/one?", "ConfigMap/absent?")
    audit.restart()
    story.start({"app/a.yaml": [config_map("a", story.namespace, x="${a}")]}, postBuild=taken_from(*names))
    assert story.data("a") == {"x": "one"}
    asked = [e.name for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    assert sorted(name for name in asked if name in ("one", "two", "absent")) == ["absent", "one", "two"]


# --- what goes wrong ---

FAILURES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a variable that nobody knows": (
        "${unknown}", {"substitute": {"a": "b"}},
        'envsubst error: variable substitution failed: variable not set (strict mode): "unknown"',
    ),
    "no closing brace": (
        "${a", {"substitute": {"a": "b"}},
        "envsubst error: variable substitution failed: missing closing brace",
    ),
    "a name that is none": (
        "x", {"substitute": {"a-b": "c"}},
        "envsubst error: 'a-b' var name is invalid, must match '^[_[:alpha:]][_[:alpha:][:digit:]]*$'",
    ),
    "a ConfigMap that is not there": (
        "x", taken_from("ConfigMap/absent"),
        "substitute from 'ConfigMap/absent' error: configmaps \"absent\" not found",
    ),
    "a Secret that is not there": (
        "x", taken_from("Secret/absent"),
        "substitute from 'Secret/absent' error: secrets \"absent\" not found",
    ),
    "a name that leads elsewhere": (
        "x", taken_from("ConfigMap/../../kube-system/secrets/x"),
        "substitute from 'ConfigMap/../../kube-system/secrets/x' error: '../../kube-system/secrets/x' is not",
    ),
    "a value that is no YAML": (
        "${a}", {"substitute": {"a": "'x"}}, "envsubst error: after substitution it cannot be read: ",
    ),
}  # fmt: skip


def test_failures_name_the_object(story: Story) -> None:
    story.push({f"k{n}/a.yaml": [config_map("a", story.namespace, x=text)] for n, (text, *_) in _numbered()})
    story.source()
    for n, (_, post_build, _) in _numbered():
        story.kustomization(f"k{n}", postBuild=post_build)
    for n, (_, _, told) in _numbered():
        item = story.failed(f"k{n}", "BuildFailed")
        assert conditions(item)["Ready"]["message"].startswith(
            f"post build failed for 'ConfigMap.v1.[noGrp]/a': {told}"
        )
    assert story.find("ConfigMap", "a") is None


def _numbered() -> list[tuple[int, tuple[str, dict[str, Any], str]]]:
    return list(enumerate(FAILURES.values()))


def test_more_variables_than_anybody_needs(story: Story) -> None:
    settings(story, "few", a="b")
    many = {f"v{number}": "x" for number in range(5_000)}
    story.create("Secret", "many", {"stringData": many})
    story.push({"app/a.yaml": [config_map("a", story.namespace, x="${a}")]})
    story.source()
    story.kustomization(postBuild=taken_from("ConfigMap/few", "Secret/many"))
    told = "substitute from 'Secret/many' error: with it, substituteFrom brings more than 5000 variables"
    story.failed("app", "BuildFailed", told)
    story.respec(postBuild=taken_from("Secret/many"))
    story.failed("app", "BuildFailed", 'variable not set (strict mode): "a"')


def test_what_works_stays_when_a_variable_goes(story: Story) -> None:
    settings(story, watched=True, a="v1")
    story.start(
        {"app/a.yaml": [config_map("a", story.namespace, x="${a}")]},
        postBuild=taken_from("ConfigMap/settings"),
    )
    story.delete("ConfigMap", "settings")
    story.failed("app", "BuildFailed", 'configmaps "settings" not found')
    assert story.data("a") == {"x": "v1"}
    assert story.inventory() == [f"{story.namespace}_a__ConfigMap"]
    settings(story, watched=True, a="v2")
    story.ready()
    assert story.data("a") == {"x": "v2"}


def test_a_value_adds_no_fields(story: Story) -> None:
    """Who may write a ConfigMap cannot turn an object into another one, whatever ends a line in YAML."""
    settings(story, a="one\ntwo", b="one\rtwo", c="one\u2028two", d="x\rkind: Secret")
    story.push(
        {
            "app/a.yaml": [config_map("a", story.namespace, a="${a}", b="${b}", c="${c}")],
            "bad/a.yaml": [config_map("bad", story.namespace, x="${d}")],
        }
    )
    story.source()
    for name in ("app", "bad"):
        story.kustomization(name, postBuild=taken_from("ConfigMap/settings"))
    story.ready("app")
    assert story.data("a") == dict.fromkeys("abc", "onetwo")
    story.failed("bad", "BuildFailed", "after substitution it cannot be read")
    assert story.find("Secret", "bad") is None


# --- who is woken ---


def test_a_watched_source_is_followed_at_once(story: Story, audit: Audit) -> None:
    """And only the object that has the variable is written."""
    settings(story, watched=True, a="v1", b="v1")
    login(story, watched=True, c="v1")
    objects = {
        f"app/{name}.yaml": [config_map(name, story.namespace, x=f"${{{name}}}")] for name in ("a", "b", "c")
    }
    story.start(objects, postBuild=taken_from("ConfigMap/settings", "Secret/login"))
    audit.restart()
    story.patch("ConfigMap", "settings", {"data": {"a": "v2"}})
    story.becomes("a is written", lambda: story.data("a") == {"x": "v2"})
    story.patch("Secret", "login", {"stringData": {"c": "v2"}})
    story.becomes("c is written", lambda: story.data("c") == {"x": "v2"})
    assert [(entry.verb, entry.name) for entry in patches(audit, story)] == [("patch", "a"), ("patch", "c")]
    story.ready()


def test_a_source_that_is_touched_and_says_the_same_costs_no_write(story: Story, audit: Audit) -> None:
    login(story, watched=True, a="hunter2-hunter2")
    story.start(
        {"app/a.yaml": [secret("a", story.namespace, x="${a}")]}, postBuild=taken_from("Secret/login")
    )
    audit.restart()
    story.patch("Secret", "login", {"metadata": {"annotations": {"touched": "yes"}}})
    story.becomes(
        "it was read again", lambda: any(e.name == "login" for e in audit.entries([KUSTOMIZE_USER]))
    )
    token = story.request("Kustomization", "app")
    story.handled("Kustomization", "app", token)
    written = patches(audit, story)
    assert {(entry.resource, entry.name) for entry in written} <= {("secrets", "a")}  # of the request alone


def test_another_source_is_read_at_the_next_run(story: Story) -> None:
    settings(story, a="v1")
    story.start(
        {"app/a.yaml": [config_map("a", story.namespace, x="${a}")]},
        postBuild=taken_from("ConfigMap/settings"),
    )
    story.patch("ConfigMap", "settings", {"data": {"a": "v2"}})
    token = story.request("Kustomization", "app")
    story.handled("Kustomization", "app", token)
    assert story.data("a") == {"x": "v2"}


def test_another_source_is_read_at_each_interval(story: Story) -> None:
    settings(story, a="v1")
    story.start(
        {"app/a.yaml": [config_map("a", story.namespace, x="${a}")]},
        interval="1s", timeout="30s", postBuild=taken_from("ConfigMap/settings"),
    )  # fmt: skip
    story.patch("ConfigMap", "settings", {"data": {"a": "v2"}})
    story.becomes("the next run takes it", lambda: story.data("a") == {"x": "v2"})


def test_drift_is_undone_with_the_values(story: Story) -> None:
    login(story, a="from-the-secret")
    story.start(
        {"app/a.yaml": [config_map("a", story.namespace, x="${a}")]}, postBuild=taken_from("Secret/login")
    )
    story.patch("ConfigMap", "a", {"data": {"x": "by hand"}}, manager="somebody")
    story.becomes("it is undone", lambda: story.data("a") == {"x": "from-the-secret"})


def test_a_restart_finds_what_changed_meanwhile(story: Story, controllers: Pair, audit: Audit) -> None:
    """And applies nothing else, whatever the Secret."""
    settings(story, a="v1")
    login(story, b="hunter2-hunter2")
    objects = {
        "app/a.yaml": [config_map("a", story.namespace, x="${a}")],
        "app/b.yaml": [config_map("b", story.namespace, x="${b}")],
        "same/c.yaml": [config_map("c", story.namespace, x="${b}")],
    }
    story.push(objects)
    story.source()
    for name in ("app", "same"):
        story.kustomization(name, postBuild=taken_from("ConfigMap/settings?", "Secret/login"))
    story.respec("same", postBuild=taken_from("Secret/login"))
    for name in ("app", "same"):
        story.ready(name)
    controllers.kustomize.stop(keep_log=True)
    story.patch("ConfigMap", "settings", {"data": {"a": "v2"}})
    audit.restart()
    controllers.kustomize.start()
    story.becomes("what changed is applied", lambda: story.data("a") == {"x": "v2"})
    story.ready("app")
    assert "c" not in {entry.name for entry in patches(audit, story)}


def test_a_restart_repairs_and_answers_with_the_values(story: Story, controllers: Pair) -> None:
    """Although what the process before knew of the values means nothing to this one."""
    login(story, a="hunter2-hunter2")
    names = ("meanwhile", "later", "asked", "new")
    commit = story.push({f"{name}/a.yaml": [config_map(name, story.namespace, x="${a}")] for name in names})
    story.source()
    for name in names[:-1]:
        story.kustomization(name, postBuild=taken_from("Secret/login"))
    for name in names[:-1]:
        story.ready(name)
    controllers.kustomize.stop(keep_log=True)
    by_hand = {"data": {"x": "by hand"}}
    story.patch("ConfigMap", "meanwhile", by_hand, manager="somebody")
    controllers.kustomize.start()
    story.kustomization("new", postBuild=taken_from("Secret/login"))
    story.ready("new", commit)  # by then the others were looked at, too
    story.patch("ConfigMap", "later", by_hand, manager="somebody")
    token = story.request("Kustomization", "asked")
    undone = [{"x": "hunter2-hunter2"}] * 2
    story.becomes("both are undone", lambda: [story.data(name) for name in ("meanwhile", "later")] == undone)
    story.handled("Kustomization", "asked", token)


# --- what stays secret ---


def _service(name: str, story: Story, kind: str) -> Manifest:
    metadata = {"name": name, "namespace": story.namespace}
    spec = {"type": kind, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def test_a_secret_value_is_told_to_nobody(story: Story, canaries: Canaries) -> None:
    """Not in a refusal of the API server, which quotes it, nor when it makes YAML that cannot be read."""
    value = canaries.plant("substituted value")
    login(story, value=value, alias=f"*{value}")
    files: dict[str, list[Manifest]] = {
        "fine/a.yaml": [config_map("fine", story.namespace, x="${value}")],
        "refused/a.yaml": [_service("x", story, "${value}")],
        "unreadable/a.yaml": [config_map("y", story.namespace, x="${alias}")],
        "upper/a.yaml": [_service("z", story, "${value^^}")],
    }
    story.push(files)
    story.source()
    for name in ("fine", "refused", "unreadable", "upper"):
        story.kustomization(name, postBuild=taken_from("Secret/login"))
    story.ready("fine")
    assert story.data("fine") == {"x": value}
    refused = conditions(story.failed("refused", "ReconciliationFailed"))["Ready"]["message"]
    assert "spec.type" in refused
    assert "***" in refused
    upper = conditions(story.failed("upper", "ReconciliationFailed"))["Ready"]["message"]
    assert value.upper() not in upper
    assert value.upper().replace('"', '\\"').partition("/")[0] not in upper
    story.failed("unreadable", "BuildFailed", "after substitution it cannot be read")


def test_a_secret_is_nothing_to_other_tenants(story: Story, canaries: Canaries) -> None:
    """It blots out none of their messages, and none of their guesses tells what it is."""
    value, other = canaries.plant("value beside words"), f"{story.namespace}-b"
    login(story, value=value, words="Applied revision", guessed="guess-4711", unused="finished in")
    story.cluster.create_namespace(other)
    story.others.append(other)
    words = config_map("a", story.namespace, value="${value}", words="${words}", guessed="${guessed}")
    commit = story.push(
        {
            "app/a.yaml": [words],
            "refused/a.yaml": [_service("x", story, "${value}")],
            "theirs/a.yaml": [config_map("b", other, n="1")],
        }
    )
    story.source()
    for name in ("app", "refused"):
        story.kustomization(name, postBuild=taken_from("Secret/login"))
    own = story.ready("app")
    assert conditions(own)["Ready"]["message"] == f"***: {own['status']['lastAppliedRevision']}"
    assert "***" in conditions(story.failed("refused", "ReconciliationFailed"))["Ready"]["message"]
    story.told("app", "Reconciliation finished in")  # a value that went nowhere is masked nowhere
    story.source("app", other)
    for name in ("theirs", "guess-4711"):
        story.kustomization(name, other)
    theirs = story.ready("theirs", commit, namespace=other)
    assert conditions(theirs)["Ready"]["message"].startswith("Applied revision: main@sha1:")
    story.told("guess-4711", "guess-4711", namespace=other)


def test_a_short_secret_is_masked_where_it_is_refused(story: Story) -> None:
    login(story, pin="4711x")
    story.push({"app/a.yaml": [_service("x", story, "${pin}")]})
    story.source()
    story.kustomization(postBuild=taken_from("Secret/login"))
    item = story.failed("app", "ReconciliationFailed", "spec.type")
    assert "4711x" not in conditions(item)["Ready"]["message"]
    assert not [event for event in story.events("app") if "4711x" in event["message"]]


def test_history_does_not_tell_a_secret_by_its_hash(story: Story) -> None:
    """The digest in status follows the Secret's version, not its content."""
    login(story, watched=True, a="one-secret-value")
    story.start(
        {"app/a.yaml": [config_map("a", story.namespace, x="${a}")]}, postBuild=taken_from("Secret/login")
    )
    digests = {_digest(story)}
    for value in ("another-secret-value", "one-secret-value"):
        story.patch("Secret", "login", {"stringData": {"a": value}})
        story.becomes("there is a new digest", lambda: _digest(story) not in digests)
        assert story.data("a") == {"x": value}
        digests.add(_digest(story))
    assert len(digests) == 3


def _digest(story: Story) -> str:
    found: str = story.get("Kustomization", "app")["status"]["history"][0]["digest"]
    return found


def test_the_controller_reads_variables_itself(story: Story, audit: Audit) -> None:
    """Not as the tenant, whose account may not read Secrets (behaviour-kustomize.md 8)."""
    login(story, a="hunter2-hunter2")
    story.create("ServiceAccount", "tenant", {})
    rules: dict[str, Any] = {"rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["*"]}]}
    story.create("Role", "tenant", rules)
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": story.namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"}
    story.create("RoleBinding", "tenant", {"subjects": [subject], "roleRef": ref})
    robot = service_account("robot", story.namespace)
    robot["metadata"]["annotations"] = {"note": "${a}"}
    story.start({"app/a.yaml": [robot]}, serviceAccountName="tenant", postBuild=taken_from("Secret/login"))
    asked = [e for e in audit.entries([KUSTOMIZE_USER]) if e.namespace == story.namespace]
    assert {e.impersonated for e in asked if e.resource == "secrets"} == {""}
    tenant = f"system:serviceaccount:{story.namespace}:tenant"
    assert {e.impersonated for e in asked if e.resource == "serviceaccounts"} == {tenant}
