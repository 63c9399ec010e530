"""What a display can do, the plain one, and several at once."""

from collections.abc import Sequence
from typing import Protocol, TextIO

from lab.demo.remarks import Remark, Result, remark_lines, result_lines, summary_lines


class Display(Protocol):
    def chapter(self, title: str) -> None: ...

    def begin(self, title: str) -> None:
        """A step begins: what is told until `end` belongs to it."""
        ...

    def tell(self, remark: Remark) -> None: ...

    def end(self, result: Result) -> None: ...

    def summary(self, results: Sequence[Result], total_s: float) -> None: ...

    def close(self) -> None:
        """Leave the terminal as it was found; what was told stays."""
        ...


class Plain:
    """Lines of text, each written as soon as it is known."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def chapter(self, title: str) -> None:
        self._lines(["", title])

    def begin(self, title: str) -> None:
        """Nothing: a line that says only that something begins would be one line too many."""

    def tell(self, remark: Remark) -> None:
        self._lines(remark_lines(remark))

    def end(self, result: Result) -> None:
        self._lines(result_lines(result))

    def summary(self, results: Sequence[Result], total_s: float) -> None:
        self._lines(["", *summary_lines(results, total_s)])

    def close(self) -> None:
        self._out.flush()

    def _lines(self, lines: Sequence[str]) -> None:
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()


class Several:
    """All of `displays` show the same."""

    def __init__(self, displays: Sequence[Display]) -> None:
        self._displays = displays

    def chapter(self, title: str) -> None:
        for display in self._displays:
            display.chapter(title)

    def begin(self, title: str) -> None:
        for display in self._displays:
            display.begin(title)

    def tell(self, remark: Remark) -> None:
        for display in self._displays:
            display.tell(remark)

    def end(self, result: Result) -> None:
        for display in self._displays:
            display.end(result)

    def summary(self, results: Sequence[Result], total_s: float) -> None:
        for display in self._displays:
            display.summary(results, total_s)

    def close(self) -> None:
        for display in self._displays:
            display.close()
