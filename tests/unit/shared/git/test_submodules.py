"""`.gitmodules` and the addresses in it, which whoever can push has chosen (A06, A19)."""

import pytest

from shared.git.errors import ObjectRefused, TooLarge
from shared.git.submodules import addresses, resolve

FILES: dict[str, tuple[str, dict[str, str]]] = {
    "as git writes it": (
        '[submodule "lib"]\n\tpath = lib\n\turl = https://git.example/lib.git\n',
        {"lib": "https://git.example/lib.git"},
    ),
    "two, and a branch": (
        '[submodule "a"]\n path=x/a\n url=../a\n branch = main\n[submodule "b"]\n\turl = ../b\n\tpath = b\n',
        {"x/a": "../a", "b": "../b"},
    ),
    "carriage returns": ('[submodule "a"]\r\n\tpath = a\r\n\turl = ../a\r\n', {"a": "../a"}),
    "a carriage return that was quoted": ('[submodule "a"]\npath = "a\r"\nurl = ../a\n', {"a\r": "../a"}),
    "comments": ('# x\n[submodule "a"] ; y\n path = a # z\n url = ../a;b\n', {"a": "../a"}),
    "quotes": ('[submodule "a"]\n path = "a # b"\n url = ".."/a\n', {"a # b": "../a"}),
    "escapes": ('[submodule "a \\" b"]\n path = a\\\\b\n url = ../\\"a\\"\n', {"a\\b": '../"a"'}),
    "a line that goes on": ('[submodule "a"]\n path = a\n url = ../\\\nlib\n', {"a": "../lib"}),
    "all on one line": ('[submodule "a"] path = a\n url = ../a\n', {"a": "../a"}),
    "other letters": ('[SubModule "a"]\n PATH = a\n Url = ../a\n', {"a": "../a"}),
    "in two places": (
        '[submodule "a"]\n path = a\n[core]\n url = ../x\n[submodule "a"]\n url = ../a\n',
        {"a": "../a"},
    ),
    "a slash behind": ('[submodule "a"]\n path = a/\n url = ../a\n', {"a": "../a"}),
    "no address": ('[submodule "a"]\n path = a\n', {}),
    "no path": ('[submodule "a"]\n url = ../a\n', {}),
    "another section": ('[remote "a"]\n path = a\n url = ../a\n', {}),
    "an include of a file of ours": ("[include]\n path = /etc/passwd\n", {}),
    "no configuration at all": ("\0\xff][\n\\", {}),
    "nothing": ("", {}),
}


@pytest.mark.parametrize(("text", "found"), FILES.values(), ids=FILES)
def test_what_a_gitmodules_says(text: str, found: dict[str, str]) -> None:
    assert addresses(text.encode("latin-1")) == found


def test_a_gitmodules_without_end_is_refused() -> None:
    with pytest.raises(TooLarge, match="more than 1 MiB"):
        addresses(b"x" * (1 << 20) + b"x")


HOME = "https://git.example/team/app.git"
RESOLVED: dict[str, tuple[str, str, str]] = {
    "a neighbour": ("../lib.git", HOME, "https://git.example/team/lib.git"),
    "of another team": ("../../other/lib", HOME, "https://git.example/other/lib"),
    "below": ("./lib", HOME, "https://git.example/team/app.git/lib"),
    "a slash behind the address": ("../lib", HOME + "/", "https://git.example/team/lib"),
    "up in the middle": ("../a/../lib", HOME, "https://git.example/team/lib"),
    "by ssh": ("../lib.git", "ssh://git@git.example:22/app.git", "ssh://git@git.example:22/lib.git"),
    "a port and a query": ("../lib", "http://git.example:8080/a/b?x=y", "http://git.example:8080/a/lib"),
    "absolute": ("https://other.example/x", HOME, "https://other.example/x"),
    "the short form": ("git@other.example:team/x.git", HOME, "ssh://git@other.example/team/x.git"),
    "the short form with a slash": ("git@other.example:/x.git", HOME, "ssh://git@other.example/x.git"),
}


@pytest.mark.parametrize(("url", "superproject", "absolute"), RESOLVED.values(), ids=RESOLVED)
def test_where_a_submodule_lies(url: str, superproject: str, absolute: str) -> None:
    assert resolve(url, superproject) == absolute


REFUSED = {
    "a file": "file:///etc",
    "a path of ours": "/etc",
    "a folder": "lib",
    "Git's own protocol": "git://git.example/x",
    "a program": "ext::sh -c touch% /tmp/x",
    "a program in the short form": "ext@sh:: -c x",
    "an option": "--upload-pack=touch /tmp/x",
    "another protocol in front": "git::https://git.example/x",
    "upper case": "FILE:///etc",
    "no scheme": "://git.example/x",
    "above the root": "../../../x",
    "the root itself": "../..",
    "a newline": "https://git.example/x\nHost: y",
    "an encoded newline": "https://git.example/x%0aHost:%20y",
    "an encoded newline in a relative one": "../x%0d%0ay",
    "a blank": "https://git.example/x y",
    "a backslash before the host": "https://evil\\@git.example/x",
    "no such port": "https://git.example:99999/x",
    "nothing": "",
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_no_other_address_is_followed(url: str) -> None:
    with pytest.raises(ObjectRefused, match="is refused: "):
        resolve(url, HOME)
