"""The attacks on builds, by row of the threat table. A new one is a line here."""

from collections.abc import Mapping

from tests.attacks.scene import Attack
from tests.harness.manifests import Manifest, config_map, to_yaml

KUSTOMIZATION = "kustomization.yaml"
_OUT = "is not in or below the source root"
_HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
_C = to_yaml(config_map("c", k="v"))
_DEEP = "nested deeper than 100 levels"
_WIDE = "YAML expands beyond 10 MiB"


def _only(kustomization: str, *says: str, **files: str) -> Attack:
    """A kustomization beside `c.yaml` and `files`, whose names have their last underscore for a dot."""
    named = {".".join(name.rsplit("_", 1)): content for name, content in files.items()}
    return Attack(files={"c.yaml": _C, **named, KUSTOMIZATION: kustomization}, says=says)


A01: Mapping[str, Attack] = {
    "a generator reads an absolute path": _only("configMapGenerator: [{name: x, files: [OUTSIDE]}]", _OUT),
    "a generator reads the password file": _only(
        "configMapGenerator: [{name: x, files: [/etc/passwd]}]", "/etc/passwd", _OUT
    ),
    "a generator reads the controller's token": _only(
        "configMapGenerator: [{name: x, files: ['k=/var/run/secrets/kubernetes.io/serviceaccount/token']}]",
        "serviceaccount/token",
        _OUT,
    ),
    "a generator reads the controller's environment": _only(
        "secretGenerator: [{name: x, files: [/proc/self/environ]}]", "/proc/self/environ", _OUT
    ),
    "an env file with an absolute path": _only("secretGenerator: [{name: x, envs: [OUTSIDE]}]", _OUT),
    "through the name that the engine gives its root": _only(
        "configMapGenerator: [{name: x, files: ['/.source/../etc/passwd']}]", _OUT
    ),
    "a resource above the root": _only("resources: [../../../../etc]", "../../../../etc", _OUT),
    "a resource of another unpacked artifact": _only("resources: [../../1/k0]", _OUT),
    "an absolute resource": _only("resources: [OUTSIDE]", _OUT),
    "a component above the root": _only("components: [../../../etc]", _OUT),
    "a patch above the root": _only("resources: [c.yaml]\npatches: [{path: ../../etc/hostname}]", _OUT),
    "a strategic patch above the root": _only(
        "resources: [c.yaml]\npatchesStrategicMerge: [../../etc/hostname]", _OUT
    ),
    "a JSON patch above the root": _only(
        "resources: [c.yaml]\npatches: [{path: ../../etc/hostname, target: {kind: ConfigMap}}]", _OUT
    ),
    "a replacement above the root": _only("resources: [c.yaml]\nreplacements: [{path: OUTSIDE}]", _OUT),
    "a schema above the root": _only("resources: [c.yaml]\nopenapi: {path: ../../../x.json}", _OUT),
    "definitions above the root": _only("resources: [c.yaml]\ncrds: [../../../x.json]", _OUT),
    "a configuration above the root": _only("resources: [c.yaml]\nconfigurations: [OUTSIDE]", _OUT),
    "a transformer above the root": _only("resources: [c.yaml]\ntransformers: [OUTSIDE]", _OUT),
    "a generator's configuration above the root": _only("generators: [OUTSIDE]", _OUT),
    "a validator above the root": _only("resources: [c.yaml]\nvalidators: [OUTSIDE]", _OUT),
    "a component of the spec above the root": Attack(
        files={"c.yaml": _C}, spec={"components": ["../../../etc"]}, says=(_OUT,)
    ),
    "a file: URL": _only("resources: ['file:///etc/passwd']", "are disabled"),
}

_HINT = "is not in the artifact; links are left out of artifacts"
A02: Mapping[str, Attack] = {
    "a link to a file outside": Attack(
        files={KUSTOMIZATION: "resources: [a.yaml]"}, links={"a.yaml": "OUTSIDE"}, says=("a.yaml", _HINT)
    ),
    "a link to the shadow file": Attack(
        files={KUSTOMIZATION: "resources: [a.yaml]"}, links={"a.yaml": "/etc/shadow"}, says=("a.yaml", _HINT)
    ),
    "a link to a folder of the kernel": Attack(
        files={KUSTOMIZATION: "resources: [d/environ]"}, links={"d": "/proc/self"}, says=("d/environ", _HINT)
    ),
    "a chain of links": Attack(
        files={KUSTOMIZATION: "resources: [a.yaml]"},
        links={"a.yaml": "b.yaml", "b.yaml": "../../x"},
        says=("a.yaml", _HINT),
    ),
    "a link that a generator reads": Attack(
        files={KUSTOMIZATION: "secretGenerator: [{name: s, files: [token]}]"},
        links={"token": "OUTSIDE"},
        says=("token", _HINT),
    ),
    "a link that an env generator reads": Attack(
        files={KUSTOMIZATION: "configMapGenerator: [{name: s, envs: [a.env]}]"},
        links={"a.env": "OUTSIDE"},
        says=("a.env", _HINT),
    ),
    "a link that a patch names": Attack(
        files={"c.yaml": _C, KUSTOMIZATION: "resources: [c.yaml]\npatches: [{path: p.yaml}]"},
        links={"p.yaml": "OUTSIDE"},
        says=("p.yaml", _HINT),
    ),
    "a link beside honest manifests": Attack(
        files={"c.yaml": to_yaml(config_map("beside", k="v"))},
        links={"a.yaml": "OUTSIDE"},
        gives={"k": "v"},
        makes="beside",
    ),
}

A03: Mapping[str, Attack] = {
    "a folder lists itself": _only("resources: [.]", "cycle detected"),
    "a folder lists its parent's way to itself": Attack(
        files={"b/kustomization.yaml": "resources: [../]", KUSTOMIZATION: "resources: [b]"},
        says=("cycle detected",),
    ),
    "a ring of three": Attack(
        files={
            KUSTOMIZATION: "resources: [a]",
            "a/kustomization.yaml": "resources: [../b]",
            "b/kustomization.yaml": "resources: [../c]",
            "c/kustomization.yaml": "resources: [../a]",
        },
        says=("cycle detected",),
    ),
    "a ring of components": Attack(
        files={
            KUSTOMIZATION: "components: [a]",
            "a/kustomization.yaml": "kind: Component\ncomponents: [../b]",
            "b/kustomization.yaml": "kind: Component\ncomponents: [../a]",
        },
        says=("cycle detected",),
    ),
    "a remote base that would return itself": _only("resources: ['http://HOST/a.git']", "are disabled"),
    "a build without an end": Attack(  # kustomize's time grows with the square of the keys
        files={"c.yaml": _HEAD + "data:\n" + "".join(f"  k{n}: v\n" for n in range(100_000))},
        says=("build exceeded 4s",),
    ),
}

_TOOL = (
    "apiVersion: example.com/v1\nkind: Tool\nmetadata:\n  name: t\n  annotations:\n    {key}: |\n      {what}"
)
_EXEC = "exec: {path: ./x.sh}\n"
_FUNCTION = "config.kubernetes.io/function"
_SCRIPT = "#!/bin/sh\ntouch SENTINEL\n"
_OFF = "plugins are disabled"


def _tool(field: str, what: str, *, key: str = _FUNCTION) -> Attack:
    kustomization = f"resources: [c.yaml]\n{field}: [t.yaml]"
    return _only(kustomization, _OFF, t_yaml=_TOOL.format(key=key, what=what), x_sh=_SCRIPT)


A04: Mapping[str, Attack] = {
    "a transformer runs a program": _tool("transformers", _EXEC),
    "a generator runs a program": _tool("generators", _EXEC),
    "a validator runs a program": _tool("validators", _EXEC),
    "under the annotation's other name": _tool("transformers", _EXEC, key="config.k8s.io/function"),
    "a container": _tool("generators", "container: {image: example.test/x}\n"),
    "a container with mounts and network": _tool(
        "transformers", "container: {image: x, network: true, mounts: [{type: bind, src: /, dst: /host}]}\n"
    ),
    "a Starlark script": _tool("transformers", "starlark: {name: x, path: x.star}\n"),
    "a plugin by its kind": _only(
        "generators: [t.yaml]",
        _OFF,
        t_yaml="apiVersion: someteam.example.com/v1\nkind: Runner\nmetadata: {name: t}\nargs: touch\n",
    ),
    "a Helm chart": _only(
        "helmCharts: [{name: x, repo: 'http://HOST', version: 1.0.0, releaseName: x}]", _OFF
    ),
    "a Helm chart of the old field": _only(
        "helmChartInflationGenerator: [{chartName: x, chartRepoUrl: 'http://HOST'}]", _OFF
    ),
}

_URL = "http://USER@HOST"
_NET = "are disabled: "
A05: Mapping[str, Attack] = {
    "resources, a file": _only(f"resources: ['{_URL}/r.yaml']", _NET),
    "resources, a git repository": _only(f"resources: ['{_URL}/org/repo.git?ref=main']", _NET),
    "components": _only(f"components: ['{_URL}/org/repo.git?ref=main']", _NET),
    "bases": _only(f"bases: ['{_URL}/org/repo.git']", _NET),
    "configMapGenerator.files": _only(f"configMapGenerator: [{{name: x, files: ['{_URL}/f']}}]", _NET),
    "configMapGenerator.files with a key": _only(
        f"configMapGenerator: [{{name: x, files: ['k={_URL}/f']}}]", _NET
    ),
    "configMapGenerator.envs": _only(f"configMapGenerator: [{{name: x, envs: ['{_URL}/e']}}]", _NET),
    "secretGenerator.files": _only(f"secretGenerator: [{{name: x, files: ['{_URL}/f']}}]", _NET),
    "secretGenerator.envs": _only(f"secretGenerator: [{{name: x, envs: ['{_URL}/e']}}]", _NET),
    "patches.path": _only(
        f"resources: [c.yaml]\npatches: [{{path: '{_URL}/p', target: {{kind: ConfigMap}}}}]", _NET
    ),
    "patchesStrategicMerge": _only(f"resources: [c.yaml]\npatchesStrategicMerge: ['{_URL}/p.yaml']", _NET),
    "patchesJson6902.path": _only(
        f"resources: [c.yaml]\npatchesJson6902: [{{path: '{_URL}/p', "
        "target: {version: v1, kind: ConfigMap, name: c}}]",
        _NET,
    ),
    "replacements.path": _only(f"resources: [c.yaml]\nreplacements: [{{path: '{_URL}/r.yaml'}}]", _NET),
    "crds": _only(f"resources: [c.yaml]\ncrds: ['{_URL}/crd.json']", _NET),
    "configurations": _only(f"resources: [c.yaml]\nconfigurations: ['{_URL}/c.yaml']", _NET),
    "openapi.path": _only(f"resources: [c.yaml]\nopenapi: {{path: '{_URL}/s.json'}}", _NET),
    "transformers": _only(f"resources: [c.yaml]\ntransformers: ['{_URL}/t.yaml']", _NET),
    "generators": _only(f"resources: [c.yaml]\ngenerators: ['{_URL}/g.yaml']", _NET),
    "validators": _only(f"resources: [c.yaml]\nvalidators: ['{_URL}/v.yaml']", _NET),
    "in a base of the source": Attack(
        files={
            KUSTOMIZATION: "resources: [b]",
            "b/kustomization.yaml": f"configMapGenerator: [{{name: x, files: ['{_URL}/f']}}]",
        },
        says=(_NET,),
    ),
}

_OPTION = "ssh://-oProxyCommand=touch%20SENTINEL/x"
A06: Mapping[str, Attack] = {
    "an option as an SSH host": _only(f"resources: ['{_OPTION}']", "are disabled"),
    "an SSH base": _only("resources: ['ssh://git@HOST/org/repo']", "are disabled"),
    "an option of git": _only("resources: ['git::--upload-pack=touch SENTINEL']", "not in the artifact"),
    "a helper of git's": _only("resources: ['ext::sh -c touch% SENTINEL']", "not in the artifact"),
    "a local repository": _only("resources: ['file:///etc?ref=main']", "are disabled"),
    "an option as a reference": _only(
        "resources: ['http://HOST/org/repo.git?ref=--exec=touch%20SENTINEL']", "are disabled"
    ),
    "a shorthand of GitHub's": _only("resources: ['github.com/org/repo?ref=v1']", "are disabled"),
    "an option as a component": _only(f"components: ['{_OPTION}']", "are disabled"),
}


def _levels(name: str = "c") -> str:
    """Nine levels of ten references each: a billion scalars in 400 bytes."""
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\nl0: &l0 [lol, lol]\n"
    for level in range(1, 10):
        text += f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]\n"
    return text


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _manifest(text: str, *says: str) -> Attack:
    return Attack(files={"c.yaml": text}, says=says)


A08: Mapping[str, Attack] = {
    "aliases of aliases in a manifest": _manifest(_levels(), "c.yaml", _WIDE),
    "in the kustomization": Attack(files={KUSTOMIZATION: _levels()}, says=(KUSTOMIZATION, _WIDE)),
    "in a base's kustomization": Attack(
        files={KUSTOMIZATION: "resources: [b]", "b/kustomization.yaml": _levels()}, says=("b/kustomiz", _WIDE)
    ),
    "in a file with another name": _only("resources: [a.txt]", "a.txt", _WIDE, a_txt=_levels()),
    "in a patch of the spec": Attack(
        files={"c.yaml": _C},
        spec={"patches": [{"patch": _levels(), "target": {"kind": "ConfigMap"}}]},
        says=("spec.patches[0].patch", _WIDE),
    ),
    "in a patch within the kustomization": _only(
        f"resources: [c.yaml]\npatches:\n- patch: |\n{_indented(_levels())}", KUSTOMIZATION, _WIDE
    ),
    "in a strategic patch within the kustomization": _only(
        f"resources: [c.yaml]\npatchesStrategicMerge:\n- |\n{_indented(_levels())}", KUSTOMIZATION, _WIDE
    ),
    "in a generator within the kustomization": _only(
        f"generators:\n- |\n{_indented(_levels())}", KUSTOMIZATION, _WIDE
    ),
    "in a patch within a transformer": _only(
        "resources: [c.yaml]\ntransformers: [t.yaml]",
        "t.yaml",
        _WIDE,
        t_yaml="apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\ntarget: {kind: ConfigMap}\n"
        f"patch: |\n{_indented(_levels())}",
    ),
    "a large text, repeated": _manifest(
        f"a: &a {'x' * (1 << 20)}\nb: [{', '.join(['*a'] * 11)}]\n", "c.yaml", _WIDE
    ),
    "an anchor in itself": _manifest(_HEAD + "a: &a [*a]\n", "c.yaml", "anchor that contains itself"),
    "a ring of merges": _manifest(_HEAD + "a: &a\n  <<: *a\n", "c.yaml", "anchor"),
    "ten thousand brackets": _manifest(_HEAD + "data: " + "[" * 10_001, "c.yaml", _DEEP),
    "two hundred levels": _manifest(f"{_HEAD}data: {'[' * 200}{']' * 200}\n", "c.yaml", _DEEP),
    "ten thousand dashes": _manifest(_HEAD + "data:\n  " + "- " * 9_500 + "x\n", "c.yaml", _DEEP),
    "dashes in a file with another name": _only(
        "resources: [a.txt]", "a.txt", _DEEP, a_txt="a:\n  " + "? " * 9_500 + "x\n"
    ),
    "indents in a file with another name": _only(
        "resources: [a.txt]", "a.txt", _DEEP, a_txt="".join(" " * n + "a:\n" for n in range(2_000))
    ),
    "a patch of the spec with ten thousand levels": Attack(
        files={"c.yaml": _C},
        spec={"patches": [{"patch": "a:\n  " + "? " * 9_500 + "x\n", "target": {"kind": "ConfigMap"}}]},
        says=("spec.patches[0].patch", _DEEP),
    ),
    "a million documents": _manifest("---\n" * 1_000_000, "c.yaml", "more than 20000 YAML documents"),
    "more aliases than anybody needs": _manifest(
        f"{_HEAD}a: &a x\nb: [{', '.join(['*a'] * 10_001)}]\n", "c.yaml", _WIDE
    ),
    "ordinary aliases": Attack(
        files={"c.yaml": _HEAD + "data: {k: &v v, l: *v}\n"}, gives={"k": "v", "l": "v"}
    ),
}


def _data(value: str) -> str:
    return f"{_HEAD}data: {{k: {value}}}\n"


def _named_data(name: str, value: str) -> str:
    return _data(value).replace("{name: c}", f"{{name: {name}}}")


_TAG = "has no meaning in a manifest"
A09: Mapping[str, Attack] = {
    "a Python object as the manifest": _manifest(
        '!!python/object/apply:os.system ["touch SENTINEL"]\n', "c.yaml", "failed to decode Kubernetes YAML"
    ),
    "a Python object as a value": _manifest(
        _data('!!python/object/apply:os.system ["touch SENTINEL"]'), "c.yaml", "line 4", _TAG
    ),
    "a Python name": _manifest(_data("!!python/name:os.system ''"), "c.yaml", _TAG),
    "a tag of one's own on a mapping": _manifest(_HEAD + "data: !foo {k: v}\n", "c.yaml", "'!foo'", _TAG),
    "a tag that a directive defines": _manifest(
        f"%TAG !e! tag:example.test,2000:\n---\n{_HEAD}data: {{k: !e!x y}}\n", "c.yaml"
    ),
    "a Python object as the kustomization": Attack(
        files={KUSTOMIZATION: "!!python/object/apply:os.system [x]\n"}, says=(KUSTOMIZATION,)
    ),
    "a key twice": _manifest(_HEAD + "data: {k: a, k: b}\n", "c.yaml", "line 4", '"k" already defined'),
    "the kind twice": _manifest(_HEAD + "kind: Secret\n", "c.yaml", '"kind" already defined'),
    "resources twice in the kustomization": _only(
        "resources: [c.yaml]\nresources: []\n", "'resources' is there twice", f"{KUSTOMIZATION}:2"
    ),
    "not a number": _manifest(_data(".nan"), "c.yaml", "unsupported value: NaN"),
    "infinity": _manifest(_data("-.inf"), "c.yaml", "unsupported value: -Inf"),
    "a number beyond all floats is a text": Attack(
        files={"c.yaml": _named_data("beyond", "1e999")}, gives={"k": "1e999"}, makes="beyond"
    ),
    "an octal number is no text": Attack(
        files={"c.yaml": _named_data("mode", "0o777")},
        says=("data.k: expected string",),
        reason="ReconciliationFailed",
    ),
    "an octal number in quotes is one": Attack(
        files={"c.yaml": _named_data("octal", '"0o777"')}, gives={"k": "0o777"}, makes="octal"
    ),
    "a NUL": _manifest(_data('"a\0b"'), "c.yaml", "control characters are not allowed"),
    "bytes that are not UTF-8": Attack(
        files={"c.yaml": _data("").encode() + b"x: \xff\n"}, says=("c.yaml", "UTF-8")
    ),
    "UTF-32": Attack(files={"c.yaml": ("\ufeff" + _C).encode("utf-32-le")}, says=("c.yaml",)),
    "a key of 12 MB": _manifest(f"{_HEAD}data: {{{'k' * (12 << 20)}: v}}\n", "is larger than 10 MiB"),
    "a list as a key": _manifest(_HEAD + "data: {[a]: v}\n", "c.yaml", "invalid map key"),
    "a merge of a number": _manifest(_HEAD + "data: {<<: 5}\n", "c.yaml", "map merge requires"),
    "UTF-16 is read": Attack(
        files={"c.yaml": ("\ufeff" + to_yaml(config_map("wide", k="v"))).encode("utf-16-le")},
        gives={"k": "v"},
        makes="wide",
    ),
}

_DEPLOYMENT: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "a:1"}, {"name": "sidecar", "image": "b:1"}]},
        },
    },
}
_PATCH = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: "a:2"}]}}}
"""
# Its patch merges containers by name, as the built-in schema says.
VICTIM: Mapping[str, str] = {
    KUSTOMIZATION: "resources: [d.yaml]\npatches: [{path: p.yaml}]\n",
    "d.yaml": to_yaml(_DEPLOYMENT),
    "p.yaml": _PATCH,
}
# Without merge keys, a patch replaces the list of containers.
_SCHEMA = """{"definitions": {
"io.k8s.api.apps.v1.Deployment": {"type": "object", "properties": {"spec": {"$ref": "#/definitions/spec"}},
  "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}]},
"spec": {"type": "object", "properties": {"template": {"type": "object", "properties": {"spec": {
  "type": "object", "properties": {"containers": {"type": "array", "items": {"type": "object"}}}}}}}}}}"""
A07: Mapping[str, Mapping[str, str]] = {
    "a schema": {KUSTOMIZATION: "resources: [c.yaml]\nopenapi: {path: s.json}\n", "s.json": _SCHEMA},
    "a schema that a patch uses": {
        **VICTIM,
        KUSTOMIZATION: "resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: p.yaml}]\n",
        "s.json": _SCHEMA,
    },
    "a schema in a base": {
        KUSTOMIZATION: "resources: [base]\n",
        "base/kustomization.yaml": "resources: [c.yaml]\nopenapi: {path: s.json}\n",
        "base/c.yaml": _C,
        "base/s.json": _SCHEMA,
    },
    "a schema in a component": {
        KUSTOMIZATION: "resources: [c.yaml]\ncomponents: [part]\n",
        "part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
        "openapi: {path: s.json}\n",
        "part/s.json": _SCHEMA,
    },
    "a schema, and then a failure": {
        KUSTOMIZATION: "resources: [c.yaml, absent.yaml]\nopenapi: {path: s.json}\n",
        "s.json": _SCHEMA,
    },
    "a version that is not built in": {
        KUSTOMIZATION: "resources: [c.yaml]\nopenapi: {version: v9.99.9}\n",
    },
    "a schema that ends the library": {
        **VICTIM,
        KUSTOMIZATION: "resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: p.yaml}]\n",
        "s.json": '{"definitions": [1,2',
    },
    "definitions": {
        KUSTOMIZATION: "resources: [c.yaml]\ncrds: [s.json]\n",
        "s.json": _SCHEMA,
    },
    "a configuration": {
        KUSTOMIZATION: "resources: [c.yaml]\nconfigurations: [conf.yaml]\n",
        "conf.yaml": "namePrefix: [{path: spec/template/spec/containers/name, kind: Deployment}]\n"
        "commonLabels: [{path: spec/evil, create: true}]\n",
    },
}


def with_manifest(files: Mapping[str, str]) -> dict[str, str]:
    return {"c.yaml": _C, **files}
