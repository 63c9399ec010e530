"""The worked examples in docs/gitrepository.md and docs/kustomization.md do what they say.

Each example gets a namespace, which stands in for the page's `default`, and a repository with
examples/shop, which stands in for its address there.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.gitserver import Basic, Bearer
from tests.harness.pages import Block, Example, difference, read_examples
from tests.harness.story import Story, not_yet

ROOT = Path(__file__).parent.parent.parent
SHOP = ROOT / "examples" / "shop"
URL = "https://git.example.com/shop.git"
EXAMPLES = {
    f"{page}: {example.title}": example
    for page in ("gitrepository", "kustomization")
    for example in read_examples(ROOT / "docs" / f"{page}.md")
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_example(example: Example, story: Story) -> None:
    if any(" if" in block.does or " if" in block.file for block in example.blocks):
        pytest.skip("not yet")
    open_shop(story)
    commit: dict[str, str] = {}
    for block in example.blocks:
        if block.does == "file":
            commit[block.file] = block.text
            continue
        if commit:
            story.push(commit)
            commit = {}
        follow(block, story)
    assert not commit, "files at the end that nothing follows"


def open_shop(story: Story) -> None:
    """The repository: the shop, with the versions that the pages speak of."""
    files = {str(file.relative_to(SHOP)): file.read_bytes() for file in SHOP.rglob("*") if file.is_file()}
    story.repository.publish(files, "Open the shop")
    for version in ("v1.0.0", "v1.2.0", "v2.0.0-rc.1"):
        story.repository.tag(version)
        story.repository.publish({"VERSION": version}, f"After {version}")


def follow(block: Block, story: Story) -> None:
    objects = Block(block.does, local(block.text, story), block.line).objects
    for item in objects:
        what = f"line {block.line}: {item['kind']} {item.get('metadata', {}).get('name', '')}"
        match block.does:
            case "apply" | "source":
                protect(item, story)
                story.cluster.client.apply(path_of(item, story), item, field_manager="reader")
            case "expect":
                story.becomes(f"{what} is as the page says", as_expected(item, story))
            case "gone":
                story.becomes(f"{what} is gone", is_gone(item, story))
            case other:
                pytest.fail(f"line {block.line}: a block that does '{other}', which nobody knows")


def local(text: str, story: Story) -> str:
    text = text.replace(URL, story.git.url(story.repository_name))
    return re.sub(r"(?<!\w)default(?=\b|_)", story.namespace, text)


def protect(item: dict[str, Any], story: Story) -> None:
    """A Secret of the page is what opens the repository from now on."""
    match item.get("stringData", {}):
        case {"username": str(username), "password": str(password)}:
            story.git.protect(story.repository_name, Basic(username, password))
        case {"bearerToken": str(token)}:
            story.git.protect(story.repository_name, Bearer(token))


def path_of(item: dict[str, Any], story: Story) -> str:
    metadata = item["metadata"]
    return story.path(item["kind"], metadata["name"], metadata.get("namespace", ""))


def as_expected(item: dict[str, Any], story: Story) -> Callable[[], object]:
    def seen() -> object:
        found = story.all_of("Event") if item["kind"] == "Event" else [get(item, story)]
        wrong = [difference(without_type(item), one) for one in found]
        return True if "" in wrong else not_yet(wrong)

    return seen


def is_gone(item: dict[str, Any], story: Story) -> Callable[[], object]:
    return lambda: story.cluster.client.find(path_of(item, story)) is None


def get(item: dict[str, Any], story: Story) -> dict[str, Any]:
    return story.cluster.client.get(path_of(item, story))


def without_type(item: dict[str, Any]) -> dict[str, Any]:
    """Items of a list have no kind of their own."""
    return {key: value for key, value in item.items() if key not in ("apiVersion", "kind")}
