"""Several files in one text, as cases of tests are kept: a comment, then `-- name --` before each file.

The format is txtar, as Go's own tests use it: https://pkg.go.dev/golang.org/x/tools/txtar. Every file in it
ends in a newline; a case that needs other bytes stands in the test itself.
"""

import re
from pathlib import Path

_MARKER = re.compile(r"^-- (\S.*?) --$")
_LINE = re.compile(r"[^\n]*\n")  # not splitlines, which ends lines at more than newlines


def read_archive(archive: Path) -> dict[str, str]:
    """File name -> content, in the order of the text."""
    files: dict[str, str] = {}
    name = ""
    for line in _LINE.findall(archive.read_text(encoding="utf-8")):
        marker = _MARKER.match(line.rstrip("\n"))
        if marker:
            name = marker[1]
            files[name] = ""
        elif name:
            files[name] += line
    return files
