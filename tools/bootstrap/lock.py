"""One run at a time builds into the cache. The kernel drops the lock with its process, however that ends."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bootstrap.trouble import Trouble


@contextmanager
def exclusive(path: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at `path`; wait as long as another process holds it.

    The file stays: were it removed, a third process could lock a new one while a second waits for the old.

    Args:
        on_wait: called once with the holder's process id, if there is something to wait for.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            on_wait(file.read().strip() or "unknown")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno != errno.ENOLCK:
                raise
            raise Trouble(
                f"The file system of {path.parent} has no locks.",
                "Set XDG_CACHE_HOME to a folder on a local disk.",
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
