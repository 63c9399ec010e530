"""The Dockerfile, as far as it can be tried without building it: what it copies is there, and is enough to
run.

The packages that it installs are those that pyproject.toml's dependencies bring; a controller that imports
anything else, such as a package for tests, does not start here.
"""

import fnmatch
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lab.processes import clean_environment
from tests.unit.deploy.test_manifests import PROJECT, ROOT, WORKLOADS

PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
# Imports every module of ours; prints how many there were.
IMPORT_ALL = """
import importlib, pkgutil, sys
count = 0
for root in sys.argv[1:]:
    package = importlib.import_module(root)
    for found in pkgutil.walk_packages(package.__path__, root + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
            count += 1
print(count)
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a Dockerfile: its base, and its instructions as (word, rest)."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for step, rest in self.steps if step == word]

    def one(self, word: str) -> str:
        [rest] = self.all(word)
        return rest


def instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def stages(text: str) -> list[Stage]:
    found: list[Stage] = []
    variables: dict[str, str] = {}
    for word, rest in instructions(text):
        if word == "ARG":
            name, _, value = rest.partition("=")
            variables[name] = value
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(name, re.sub(r"\$\{(\w+)\}", lambda m: variables[m[1]], base)))
        else:
            found[-1].steps.append((word, rest))
    return found


ENGINE, BUILD, LAST = stages((ROOT / "Dockerfile").read_text())
COPIES = [  # (stage, source, destination) of what comes from this tree
    (stage.name or "last", source, rest.split()[-1])
    for stage in (ENGINE, BUILD, LAST)
    for rest in stage.all("COPY")
    if not rest.startswith("--from")
    for source in rest.split()[:-1]
]


def reaches_the_builder(path: str) -> bool:
    """By .dockerignore: of its lines, the last one that matches the path or a folder of it decides."""
    parts = path.split("/")
    folders = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(_matches(folder, pattern) for folder in folders):
            sent = line.startswith("!")
    return sent


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return _matches(path.rpartition("/")[2], pattern.removeprefix("**/"))
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def sent_files(source: str) -> list[Path]:
    """What a COPY of `source` copies."""
    found = [file for path in ROOT.glob(source) for file in ([path] if path.is_file() else path.rglob("*"))]
    return [file for file in found if file.is_file() and reaches_the_builder(str(file.relative_to(ROOT)))]


@pytest.mark.parametrize(("stage", "source", "destination"), COPIES, ids=[source for _, source, _ in COPIES])
def test_what_is_copied_is_there(stage: str, source: str, destination: str) -> None:
    assert sent_files(source)


NOT_SENT = (
    "README.md",
    ".git/config",
    ".venv/bin/python",
    "kubeconfig",
    "deploy/kustomization.yaml",
    "lab/ports.py",
    "tests/conftest.py",
    "tools/bootstrap/plan.py",
    "tools/engine/build_test.go",
    "shared/kube/__pycache__/http.pyc",
)


@pytest.mark.parametrize("path", NOT_SENT)
def test_nothing_else_reaches_the_builder(path: str) -> None:
    assert not reaches_the_builder(path)


def test_every_package_of_the_project_is_copied() -> None:
    copied = {source for _, source, destination in COPIES if destination.startswith("/app/")}
    assert copied - {"LICENSE"} == set(PACKAGES)
    assert {one.package for one in WORKLOADS.values()} <= set(PACKAGES)


def test_the_engine_is_built_from_all_its_files() -> None:
    """go.mod and go.sum first, so that its modules are downloaded once."""
    assert [source for stage, source, _ in COPIES if stage == "engine"] == [
        "tools/engine/go.mod",
        "tools/engine/go.sum",
        "tools/engine/*.go",
    ]
    files = [file for file in (ROOT / "tools/engine").rglob("*.go") if not file.name.endswith("_test.go")]
    assert sorted(sent_files("tools/engine/*.go")) == sorted(files)
    embedding = [file.name for file in files if "//go:embed" in file.read_text()]
    assert embedding == [], "what is embedded must be copied as well"


def test_bases_are_new_enough() -> None:
    go = re.search(r"^go (\d+\.\d+)", (ROOT / "tools/engine/go.mod").read_text(), re.MULTILINE)
    assert go is not None
    assert ENGINE.base == f"golang:{go[1]}"
    assert BUILD.base == LAST.base
    python = re.fullmatch(r"python:(\d+\.\d+)-slim", LAST.base)
    assert python is not None
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(python[1])


def test_packages_come_from_the_lock_file_with_hashes() -> None:
    download, install, *_ = BUILD.all("RUN")
    for flag in ("--require-hashes", "--only-binary :all:", "--no-deps", "-r requirements.lock"):
        assert flag in download
    for flag in ("--no-index", "--find-links wheels", "-r wanted.txt"):
        assert flag in install


def test_it_runs_as_the_user_of_the_manifests() -> None:
    for workload in WORKLOADS.values():
        guarded = workload.container["securityContext"]
        assert LAST.one("USER") == f"{guarded['runAsUser']}:{guarded['runAsGroup']}"
        assert workload.container["command"] == [*_words(LAST.one("ENTRYPOINT")), workload.package]
    assert LAST.one("WORKDIR") == "/app"


def test_the_last_stage_installs_nothing() -> None:
    assert LAST.all("RUN") == ["python -m pip uninstall --yes --root-user-action ignore pip"]


def _words(text: str) -> list[str]:
    words: list[str] = tomllib.loads(f"words = {text}")["words"]
    return words


# --- what is copied is enough ---


def closure(names: Iterable[str]) -> set[str]:
    """The distributions that `names` need to run here, themselves included."""
    found: set[str] = set()
    left = [Requirement(name) for name in names]
    while left:
        wanted = left.pop()
        extras = wanted.extras or {""}
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(wanted.name)
        if name not in found:
            found.add(name)
            needs = (Requirement(one) for one in metadata.requires(name) or ())
            left += [one for one in needs if not one.marker or one.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's file system as far as it is ours: app/ as copied, packages/ with what is installed."""
    root = tmp_path_factory.mktemp("image")
    for _, source, destination in COPIES:
        if destination.startswith("/app/"):
            for file in sent_files(source):
                into = root / "app" / file.relative_to(ROOT)
                into.parent.mkdir(parents=True, exist_ok=True)
                into.write_bytes(file.read_bytes())
    packages = root / "packages"
    packages.mkdir()
    for name in closure(PROJECT["project"]["dependencies"]):
        one = metadata.distribution(name)
        for top in {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}:
            link, target = packages / top, Path(str(one.locate_file(top)))
            if target.exists() and not link.is_symlink():
                link.symlink_to(target)
    return root


def in_image(image: Path, *args: str) -> str:
    """Run its interpreter: without site, so that nothing but the packages above is found."""
    environment = clean_environment(image, {"PYTHONPATH": str(image / "packages")})
    ran = subprocess.run(
        [sys.executable, "-S", "-B", *args],
        cwd=image / "app",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("package", [one.package for one in WORKLOADS.values()])
def test_a_controller_starts_from_what_is_copied(image: Path, package: str) -> None:
    assert in_image(image, "-m", package, "--help").startswith(f"Usage: python -m {package} [flags]")


def test_every_module_finds_what_it_imports(image: Path) -> None:
    """Children and rare paths import modules of their own."""
    assert int(in_image(image, "-c", IMPORT_ALL, *PACKAGES)) > 50


def test_what_is_installed_is_locked() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    assert closure(PROJECT["project"]["dependencies"]) - locked == set()
