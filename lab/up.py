"""`python -m lab.up`: leave a stack running in the background, and say how to reach it.

Standard output is two lines for a shell, so that `eval "$(./run up)"` works; the rest is on standard error.
"""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping

from lab.background import Background
from lab.interrupt import heed_interrupts, ignore_interrupts
from lab.processes import ProcessFailed
from lab.stack import Place
from lab.state import find, state_file


def main() -> int:
    heed_interrupts()
    running = find(state_file(os.environ))
    if running is not None and running.place is None:
        _say(f"It is being started right now, by process {running.pid}; `./run down` ends that.")
        return 1
    if running is not None and running.place is not None:
        _say(f"It runs already (process {running.pid}); `./run down` ends it.")
        print("\n".join(exports(running.place, os.environ)))
        return 0
    background = Background()
    try:
        for phase in background.phases():
            began_s = time.monotonic()
            phase.run()
            _say(f"{phase.title:<17} {time.monotonic() - began_s:5.1f} s  {phase.about}")
        lines = exports(background.place, os.environ)
    except (ProcessFailed, KeyboardInterrupt) as error:
        ignore_interrupts()
        background.stop()
        _say("Stopped; nothing is left running." if isinstance(error, KeyboardInterrupt) else str(error))
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    _say('It runs until `./run down`. Point your shell at it, or start over with: eval "$(./run up)"')
    print("\n".join(lines))
    return 0


def exports(place: Place, environ: Mapping[str, str]) -> list[str]:
    """Lines for a shell: where the cluster and the Git repository are, and kubectl where there is none."""
    lines = [
        f"export KUBECONFIG={shlex.quote(str(place.kubeconfig))}",
        f"export GIT_URL={shlex.quote(place.git_url)}",
    ]
    tools = environ.get("HEADRACE_TOOLS_DIR")
    if tools and shutil.which("kubectl") is None:
        lines.append(f'export PATH="$PATH":{shlex.quote(tools)}')
    return lines


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
