"""What `./run` can do: a table of commands, with what each needs and what its --help teaches."""

from dataclasses import dataclass

from tools.bootstrap.setup import Needs

_PYTHON = Needs()
_EVERYTHING = Needs(binaries=True, git=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    name: str
    summary: str
    usage: str
    teaches: str  # what --help prints after the usage
    module: str | None = None  # what the virtual environment's Python runs; None: done here
    needs: Needs = _PYTHON


COMMANDS = (
    Command(
        name="demo",
        summary="show the main job on a local control plane, then take it all down",
        usage="./run demo [--keep] [--svg FILE]",
        teaches="""\
Starts a Kubernetes API server, etcd, a Git server and the controllers on loopback, applies a commit,
changes it, breaks something by hand, and shows how the cluster follows Git. About a minute.

  --keep       leave it all running; `./run down` ends it
  --svg FILE   save what was shown as a picture""",
        module="lab.demo",
        needs=_EVERYTHING,
    ),
    Command(
        name="test",
        summary="run everything that is tested, as CI does",
        usage="./run test [PATH ...] [pytest's options]",
        teaches="""\
Alone: style, types, import contracts, generated files, Go's vet and tests, then pytest, fastest first.
All stages run; the summary at the end says which failed. With arguments: pytest with just these.

  ./run test tests/unit -k lock     a few tests, no style checks
  ./run test -- -x --lf             pytest over everything: stop at the first, last failed only""",
        needs=Needs(binaries=True, tests=True, go=True, git=True),
    ),
    Command(
        name="up",
        summary="start the local control plane and the controllers, and leave them running",
        usage="./run up",
        teaches="""\
Prints the line that points kubectl at it: export KUBECONFIG=… Everything listens on loopback only and
keeps nothing after `./run down`.""",
        module="lab.up",
        needs=_EVERYTHING,
    ),
    Command(
        name="down",
        summary="end what `up` or `demo --keep` left running",
        usage="./run down",
        teaches="Ends the processes of this checkout's local control plane and removes their data.",
        module="lab.down",
    ),
    Command(
        name="bench",
        summary="measure on this machine",
        usage="./run bench [options]",
        teaches="Starts a local control plane of its own, puts a load on it, and prints what was measured.",
        module="bench",
        needs=_EVERYTHING,
    ),
    Command(
        name="crds",
        summary="regenerate the CustomResourceDefinitions in deploy/crds",
        usage="./run crds [--check]",
        teaches="  --check   only say whether deploy/crds matches the kinds in shared/api; change nothing",
        module="shared.api.crd",
    ),
    Command(
        name="clean",
        summary="show what of the cache could go, and ask before removing it",
        usage="./run clean [--all] [--yes]",
        teaches="""\
Alone: what no command of this checkout uses any more (older versions; another checkout may use them).

  --all   the whole cache; the next run compiles for ten minutes and more
  --yes   do not ask""",
    ),
)

ENVIRONMENT = """\
Environment
  HEADRACE_PYTHON      the Python (3.11 to 3.14) to use
  HEADRACE_TOOLS       a folder of ready binaries, for what it holds; the exact versions only
  KUBEBUILDER_ASSETS   the same, after HEADRACE_TOOLS; unset it where it is set for another project
  XDG_CACHE_HOME       where the cache goes: its subfolder headrace/ (default: ~/.cache)
  GOMODCACHE, GOCACHE  Go's caches, if they are to be shared with other work (default: in our cache)
  GOFLAGS=-p=1         compile on one core"""


def overview() -> str:
    width = max(len(command.name) for command in COMMANDS)
    lines = ["Headrace: keeps a Kubernetes cluster as Git says.", "", "./run COMMAND"]
    lines += [f"  {command.name.ljust(width)}  {command.summary}" for command in COMMANDS]
    lines += [
        "",
        "./run COMMAND --help teaches more.",
        "The first run compiles for ten minutes and more; later ones start at once.",
    ]
    return "\n".join([*lines, "", ENVIRONMENT])


def lesson(command: Command) -> str:
    return f"{command.usage}\n\n{command.summary[0].upper()}{command.summary[1:]}.\n\n{command.teaches}"
