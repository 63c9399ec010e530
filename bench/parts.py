"""What one small commit to a large repository costs in the children that handle bytes, in CPU.

    python -m bench.parts [files …]         1000, 8000 and 20000 files unless others are named

Publish is what the source worker does once the new objects have arrived; unpack is what the consumer's worker
and its parent do once the archive has. Each is measured in one process, as in a child that lives long: first
for the first revision, then for revisions that change one file each.
"""

import argparse
import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.objects import Blob, Commit, ShaFile, Tree
from dulwich.pack import write_pack_objects

from kustomize_controller import unpack, worker
from shared.artifacts.unpack import Written
from shared.git.auth import Credentials
from shared.git.objects import Objects
from shared.git.refs import RefSpec
from source_controller.memory import Memory
from source_controller.worker import Publication, Resolved, Where, publish

_SIZES = (1_000, 8_000, 20_000)
_PER_FOLDER = 8
_ROUNDS = 5
_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of the first revision, and the least of those that follow."""

    first_s: float
    next_s: float


class Repository:
    """Small YAML files, eight to a folder, as objects that have been fetched."""

    def __init__(self, cache: Path, files: int) -> None:
        self._random = random.Random(files)
        self._objects = Objects(cache / "tree")
        self._folders = [
            [self._blob(n, file) for file in range(_PER_FOLDER)] for n in range(files // _PER_FOLDER)
        ]
        self._trees = [_tree(blobs) for blobs in self._folders]
        self._add(*(blob for blobs in self._folders for blob in blobs), *self._trees)

    def commits(self, count: int) -> Iterator[str]:
        """New commits, each with one file changed, made when asked for."""
        for _ in range(count):
            folder = self._random.randrange(len(self._folders))
            changed = self._blob(folder, 0)
            self._folders[folder][0] = changed
            self._trees[folder] = _tree(self._folders[folder])
            yield self._add(changed, self._trees[folder])

    def _blob(self, folder: int, file: int) -> Blob:
        data = "".join(
            f"  key-{n}: {self._random.getrandbits(64):x}\n" for n in range(self._random.randint(4, 28))
        )
        head = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c-{folder}-{file}\n"
        return Blob.from_string(f"{head}  namespace: team-{folder % 10}\ndata:\n{data}".encode())

    def _add(self, *new: ShaFile) -> str:
        root = Tree()
        for n, tree in enumerate(self._trees):
            root.add(f"app-{n:05}".encode(), 0o040000, tree.id)
        commit = Commit()
        commit.tree = root.id
        commit.author = commit.committer = b"Bench <bench@example.com>"
        commit.author_time = commit.commit_time = 1_700_000_000
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"Change one file\n"
        pack = io.BytesIO()
        write_pack_objects(pack, [*new, root, commit], object_format=DEFAULT_OBJECT_FORMAT)
        self._objects.add_pack(pack)
        self._objects.close()
        name = commit.id.decode()
        self._objects.complete(name)  # so that publish finds nothing to fetch, and needs no server
        return name


def _tree(blobs: list[Blob]) -> Tree:
    made = Tree()
    for n, blob in enumerate(blobs):
        made.add(f"manifest-{n}.yaml".encode(), 0o100644, blob.id)
    return made


def measure(files: int, folder: Path) -> tuple[Cost, Cost]:
    """Of publish and of unpack, for a repository of `files` files below the empty `folder`."""
    repository = Repository(folder / "cache", files)
    memory, written = Memory(), Written()
    publications: list[float] = []
    unpackings: list[float] = []
    for n, commit in enumerate(repository.commits(_ROUNDS + 1)):
        path = f"gitrepository/bench/bench/{n}.tar.gz"
        publications.append(_cpu_s(partial(publish, _order(folder, commit, path), memory)))
        into = folder / f"{n}"
        into.mkdir()
        args = {"archive": str(folder / "store" / path), "into": str(into), "limit_bytes": _LIMIT_BYTES}
        unpackings.append(_cpu_s(partial(_unpack, args, written)))
    return _cost(publications), _cost(unpackings)


def _order(folder: Path, commit: str, path: str) -> Publication:
    where = Where(
        url="http://127.0.0.1:1/unused",
        credentials=Credentials(),
        want=RefSpec(branch="main"),
        timeout_s=1,
        cache=str(folder / "cache"),
    )
    resolved = Resolved(commit=commit, revision=f"main@sha1:{commit}", ref="refs/heads/main")
    return Publication(
        where=where,
        resolved=resolved,
        store=str(folder / "store"),
        algorithm="sha256",
        path=path,
        ignore=None,
        limit_bytes=_LIMIT_BYTES,
    )


def _unpack(args: dict[str, object], written: Written) -> None:
    """With the answer's way to the parent."""
    answer = msgspec.json.encode(worker.unpack_archive(args, written))
    unpack.decode(msgspec.Raw(answer))


def _cpu_s(do: Callable[[], object]) -> float:
    before = time.process_time()
    do()
    return time.process_time() - before


def _cost(seconds: list[float]) -> Cost:
    return Cost(seconds[0], min(seconds[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.parts")
    parser.add_argument("files", nargs="*", type=int, default=_SIZES)
    print(f"{'files':>7}  {'publish, first':>15} {'next':>8}  {'unpack, first':>14} {'next':>8}   (CPU s)")
    for files in parser.parse_args().files:
        with tempfile.TemporaryDirectory(prefix="headrace-parts-") as folder:
            published, unpacked = measure(files, Path(folder))
        print(
            f"{files:7}  {published.first_s:15.3f} {published.next_s:8.3f}"
            f"  {unpacked.first_s:14.3f} {unpacked.next_s:8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
