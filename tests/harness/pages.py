"""Worked examples in the pages of docs/, so that a test can do what a reader would do.

A fenced block of YAML says after the language what it is:

    apply        objects to apply
    expect       what the cluster comes to hold: of each object, these fields
    gone         objects that the cluster comes to be without
    source       objects to apply before every example of the page
    file=NAME    a file of the repository; files in a row are one commit

Other blocks are only shown. The blocks below one heading are one example, done in their order.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_HEADING = re.compile(r"^#{1,3} (.+)$")
_FENCE = re.compile(r"^```(\S*) ?(.*)$")
_ANY = "…"  # in a text to expect: any text


@dataclass(frozen=True, slots=True)
class Block:
    """`does` is one of the words above; `line` is where it stands in the page."""

    does: str
    text: str
    line: int
    file: str = ""

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [item for item in yaml.safe_load_all(self.text) if item]


@dataclass(slots=True)
class Example:
    title: str
    blocks: list[Block] = field(default_factory=list)


def read_examples(page: Path) -> list[Example]:
    """The examples of a page that do something, in its order."""
    examples = [Example(page.stem)]
    shared: list[Block] = []
    block: Block | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), start=1):
        fence, heading = _FENCE.match(line), _HEADING.match(line)
        if block is not None and line == "```":
            (shared if block.does == "source" else examples[-1].blocks).append(block)
            block = None
        elif block is not None:
            block = Block(block.does, block.text + line + "\n", block.line, block.file)
        elif fence:
            does, _, file = fence[2].partition("=")
            block = Block(does, "", number, file)
        elif heading:
            examples.append(Example(heading[1]))
    for example in examples:
        example.blocks = [one for one in example.blocks if one.does]
    return [Example(one.title, shared + one.blocks) for one in examples if one.blocks]


def difference(expected: object, seen: object, where: str = "") -> str:
    """Where `seen` is not as `expected` says, which names some fields only; "" if it is.

    An item of a list in `expected` is any item of the list that was seen; `…` in a text is any text.
    """
    if isinstance(expected, Mapping):
        if not isinstance(seen, Mapping):
            return f"{where} is {seen!r}"
        found = (difference(value, seen.get(key), f"{where}.{key}") for key, value in expected.items())
        return next((one for one in found if one), "")
    if isinstance(expected, list):
        items = seen if isinstance(seen, list) else []
        for wanted in expected:
            if all(difference(wanted, item) for item in items):
                return f"{where} has no {wanted!r}, but {seen!r}"
        return ""
    if isinstance(expected, str) and isinstance(seen, str):
        pattern = ".*".join(re.escape(part) for part in expected.split(_ANY))
        return "" if re.fullmatch(pattern, seen, re.DOTALL) else f"{where} is {seen!r}"
    return "" if expected == seen else f"{where} is {seen!r}"
