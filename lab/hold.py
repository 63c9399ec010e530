"""The process in the background that holds a stack: `python -m lab.hold`, started by `lab.background`.

While it starts it says on standard output, a JSON object a line, what its starter waits for: {"done": title}
for each phase, or {"failed": text}. A starter that is gone by then ends it. After the start it keeps quiet,
until it is told to end or one of its processes does.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from lab.apiclient import ApiRefused
from lab.gitserver import MissingHttpBackend
from lab.interrupt import heed_interrupts, ignore_interrupts
from lab.processes import ProcessFailed
from lab.stack import Stack
from lab.state import AlreadyRunning, Hold, Running, state_file
from lab.tools import MissingTool, Tools
from lab.worktree import GitFailed

_LOOK_S = 1.0


def main() -> int:
    heed_interrupts()
    try:
        hold = Hold(state_file(os.environ))
        tools = Tools.from_environment()
    except (AlreadyRunning, MissingTool, OSError) as error:
        _say(failed=str(error))
        return 1
    folder = Path(tempfile.mkdtemp(prefix="headrace-lab-"))
    stack = Stack(tools, folder)
    failed = False
    try:
        hold.write(Running(pid=os.getpid(), folder=folder, place=None))
        *first, last = stack.phases()
        for phase in first:
            phase.run()
            _say(done=phase.title)
        last.run()
        hold.write(Running(pid=os.getpid(), folder=folder, place=stack.place))
        _say(done=last.title)
        _be_quiet()
        while all(process.exit_code() is None for process in stack.processes):
            time.sleep(_LOOK_S)
        failed = True
    except (ProcessFailed, ApiRefused, GitFailed, MissingHttpBackend, MissingTool) as error:
        failed = True
        _say(failed=str(error))
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # told to end, or nobody waits for us any more
    finally:
        ignore_interrupts()
        stack.stop(keep_logs=failed)
    return int(failed)


def _say(**said: str) -> None:
    print(json.dumps(said), flush=True)


def _be_quiet() -> None:
    """Close the pipe to the starter, so that it is not taken to say more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
