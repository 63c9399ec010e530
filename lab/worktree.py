"""A person's clone: write files, commit, push. Uses the real git, without anyone's configuration."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.processes import clean_environment

_AUTHOR = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


class GitFailed(Exception):
    """A git command failed; the message carries what it said."""


def git(folder: Path, *args: str, environment: Mapping[str, str] | None = None) -> str:
    """Run git in `folder` and return its output, stripped. Raises GitFailed."""
    binary = shutil.which("git")
    if binary is None:
        raise GitFailed("git is not installed: install the package 'git'")
    ran = subprocess.run(
        [binary, *args],
        cwd=folder,
        env=clean_environment(folder, {**_AUTHOR, **(environment or {})}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    if ran.returncode != 0:
        raise GitFailed(f"git {' '.join(args)} in {folder} ended with {ran.returncode}: {ran.stderr.strip()}")
    return ran.stdout.strip()


@dataclass(frozen=True, slots=True)
class Worktree:
    """A working tree whose remote `origin` is a bare repository on this machine."""

    path: Path

    @classmethod
    def create(cls, path: Path, bare: Path, branch: str) -> "Worktree":
        """An empty working tree on `branch`, which has no commit yet."""
        path.mkdir(parents=True)
        git(path, "init", "--quiet", f"--initial-branch={branch}")
        git(path, "remote", "add", "origin", str(bare))
        return cls(path)

    def git(self, *args: str, environment: Mapping[str, str] | None = None) -> str:
        return git(self.path, *args, environment=environment)

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files by their path below the root; None deletes a file or folder."""
        for name, content in files.items():
            target = self.path / name
            if content is None:
                shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str = "change") -> str:
        """Commit all there is, also nothing; return the commit's id (40 hex digits)."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--no-gpg-sign", f"--message={message}")
        return self.head()

    def push(self, *, force: bool = False) -> None:
        """Push the current branch and all tags, straight into the bare repository."""
        self.git("push", "--quiet", *(["--force"] if force else []), "--tags", "origin", "HEAD")

    def publish(self, files: Mapping[str, str | bytes | None], message: str = "change") -> str:
        """Write, commit and push; return the commit's id."""
        self.write(files)
        commit = self.commit(message)
        self.push()
        return commit

    def tag(self, name: str, message: str | None = None) -> None:
        """Tag HEAD, moving a tag of that name; annotated when there is a message."""
        annotation = ["--annotate", f"--message={message}"] if message else []
        self.git("tag", "--force", *annotation, name)

    def branch(self, name: str) -> None:
        """Switch to a branch, made from HEAD where it is new."""
        if self.git("branch", "--list", name):
            self.git("switch", "--quiet", name)
        else:
            self.git("switch", "--quiet", "--create", name)

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")
