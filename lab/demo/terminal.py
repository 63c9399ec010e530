"""The display for a person: what is done scrolls by in colours, what is under way has a spinner and a clock.

The same without a spinner paints the picture: an SVG of all that was told.
"""

import io
import re
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lab.demo.remarks import (
    WIDTH,
    Command,
    Edit,
    Note,
    Quote,
    Remark,
    Result,
    seconds,
    summary_rows,
    verdict,
)

_SIGNS = {"ok": ("✓", "bold green"), "failed": ("✗", "bold red"), "not run": ("-", "dim")}
_WORDS = {"ok": "ok", "FAILED": "failed", "not run": "not run"}  # from the plain word back to the state


class Terminal:
    """Args:
    console: where to; `live` shows the step under way, which only a terminal can.
    """

    def __init__(self, console: Console, *, live: bool = True) -> None:
        self._console = console
        self._under_way = _UnderWay()
        self._live = (
            Live(self._under_way, console=console, transient=True, refresh_per_second=12) if live else None
        )
        if self._live is not None:
            self._live.start()

    def chapter(self, title: str) -> None:
        self._print("", Text(title, style="bold"))

    def begin(self, title: str) -> None:
        self._under_way.begin(title)

    def tell(self, remark: Remark) -> None:
        self._print(Padding(_painted(remark), (0, 0, 0, 4)))

    def end(self, result: Result) -> None:
        self._under_way.end()
        sign, style = _SIGNS[result.state]
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(width=1)
        line.add_column(width=26)
        line.add_column(width=8, justify="right")
        line.add_column(ratio=1)
        told = Text(result.text, style="dim" if result.state == "ok" else "red")
        line.add_row(Text(sign, style), Text(result.title), Text(seconds(result.took_s), "bold cyan"), told)
        self._print(Padding(line, (0, 0, 0, 1)))

    def summary(self, results: Sequence[Result], total_s: float) -> None:
        table = Table(title="Summary", title_style="bold", title_justify="left", show_edge=False, box=None)
        table.add_column(width=2)
        table.add_column(
            "from the command's return until the cluster shows it", header_style="dim", min_width=44
        )
        table.add_column("time", justify="right", header_style="dim")
        for state, about, took in summary_rows(results):
            sign, style = _SIGNS[_WORDS[state]]
            table.add_row(Text(sign, style), Text(about), Text(took, "bold cyan"))
        well = all(result.state == "ok" for result in results)
        self._print("", table, "", Text(verdict(results, total_s), "bold green" if well else "bold red"))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _print(self, *lines: RenderableType) -> None:
        for line in lines:
            self._console.print(line)


class Picture(Terminal):
    """Shows nothing, and remembers all for `save`."""

    def __init__(self) -> None:
        self._recorder = Console(
            record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, color_system="truecolor"
        )
        super().__init__(self._recorder, live=False)

    def save(self, path: Path) -> None:
        """Write an SVG that needs nothing from elsewhere. Raises OSError."""
        drawn = self._recorder.export_svg(title="./run demo", unique_id="demo")
        # rich names a font on a public server; the monospace font of whoever looks at it does as well.
        path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))


class _UnderWay:
    """The line at the bottom: what is under way, and for how long. Painted anew whenever it is looked at."""

    def __init__(self) -> None:
        self._title = ""
        self._began_s = 0.0
        self._spinner = Spinner("dots", style="cyan")

    def begin(self, title: str) -> None:
        self._title, self._began_s = title, time.monotonic()

    def end(self) -> None:
        self._title = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title:
            self._spinner.update(text=Text(f"{self._title} … {time.monotonic() - self._began_s:.1f} s"))
            yield Padding(self._spinner, (0, 0, 0, 1))


def _painted(remark: Remark) -> Text:
    match remark:
        case Command(text):
            return Text.assemble(("$ ", "dim"), (text, "bold"))
        case Edit(path, before, after):
            lines = [Text(path, "dim"), Text(f"- {before}", "red")]
            return Text("\n").join(lines if after is None else [*lines, Text(f"+ {after}", "green")])
        case Quote(who, text):
            return Text.assemble((f"{who}: ", "dim"), (text, "yellow")) if who else Text(text, "dim")
        case Note(text):
            return Text(text, "italic dim")
