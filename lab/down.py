"""`python -m lab.down`: end what `lab.up` or `lab.demo --keep` left running."""

import sys

from lab.background import end


def main() -> int:
    ended = end()
    print("Nothing runs." if ended is None else f"Ended (process {ended.pid}), and its data is removed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
