"""What the redactor lets through and what it does not: `Redactor` over text that people would see."""

import asyncio
import base64
import json
import time
from urllib.parse import quote, quote_plus

import pytest

from shared.runtime.redact import Redactor

SECRET = 'c4n <ry/"p&ss\\wörd+1'
PIN = "918273645"
PEM = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n"
    "QyNTUxOQAAACBdL\n"
    "-----END OPENSSH PRIVATE KEY-----\n"
)


def _inside_base64(shift: int) -> str:
    """What two encodings share that have only the secret in common, which begins after `shift` bytes."""
    one = base64.b64encode(b"x" * shift + SECRET.encode() + b"tail").decode()
    other = base64.b64encode(b"\xff" * shift + SECRET.encode() + b"\0\0\0\0").decode()
    same = "".join(a if a == b else " " for a, b in zip(one, other, strict=True))
    return max(same.split(), key=len)


FORMS = {
    "as it is": SECRET,
    "in JSON": json.dumps(SECRET)[1:-1],
    "in JSON that keeps letters": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "in Go's JSON": 'c4n \\u003cry/\\"p\\u0026ss\\\\wörd+1',
    "in a URL": quote(SECRET, safe=""),
    "in a path": quote(SECRET),
    "in a query": quote_plus(SECRET),
    "percent-encoded in lower case": quote(SECRET, safe="").replace("%C3%B6", "%c3%b6").replace("%3C", "%3c")
    .replace("%2F", "%2f").replace("%5C", "%5c").replace("%2B", "%2b"),
    "in hexadecimal": SECRET.encode().hex(),
    "in upper-case hexadecimal": SECRET.encode().hex().upper(),
    "in base64": base64.b64encode(SECRET.encode()).decode().rstrip("="),
    "in URL-safe base64": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    "in base64 after one byte": _inside_base64(1),
    "in base64 after two bytes": _inside_base64(2),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_registered_value_is_masked_in_every_spelling(form: str) -> None:
    redactor = Redactor()
    redactor.register(SECRET)
    assert form not in redactor.redact(f"before {form} after")
    assert redactor.redact("before after") == "before after"


def test_basic_credentials_hide_the_password() -> None:
    redactor = Redactor()
    redactor.register(SECRET)
    for user in ("g", "gi", "git", "robot"):
        encoded = base64.b64encode(f"{user}:{SECRET}".encode()).decode()
        shown = redactor.redact(f"sent {encoded}!")
        assert "***" in shown
        # A few characters at the seams are shared with the user name; no run of the secret's own is left.
        assert not any(encoded[at : at + 8] in shown for at in range(8, len(encoded) - 8))


SHAPES = {
    "a password in a URL": ("clone https://u:CANARY@h/x.git: failed", "clone https://h/x.git: failed"),
    "a token as user": ("https://CANARY@h:8443/x", "https://h:8443/x"),
    "an @ in a password": ("https://u:p@CANARY@h/x", "https://h/x"),
    "a signature in a query": ('get "https://h/b?sv=1&sig=CANARY": 403', 'get "https://h/b": 403'),
    "a URL in escaped JSON": (r"{\"url\":\"https://h/?k=CANARY\"}", r"{\"url\":\"https://h/\"}"),
    "a proxy": (
        "proxyconnect socks5://u:CANARY@proxy:1080 refused",
        "proxyconnect socks5://proxy:1080 refused",
    ),
    "an @ in a path": ("https://h/@scope/pkg", "https://h/@scope/pkg"),
    "an ssh address without a scheme": ("git@github.com:org/repo", "git@github.com:org/repo"),
    "a bearer header": ("Authorization: Bearer CANARY", "Authorization: Bearer ***"),
    "a header in JSON": ('{"Authorization":"Basic CANARY"}', '{"Authorization":"Basic ***"}'),
    "an age key": ("bad key AGE-SECRET-KEY-1CANARYCANARY", "bad key ***"),
    "a private key": (f"identity: {PEM}is bad", "identity: ***\nis bad"),
    "a private key that was cut": ("x -----BEGIN RSA PRIVATE KEY-----\nCANARY", "x ***"),
    "a revision": ("main@sha1:5f0a", "main@sha1:5f0a"),
    "prose about basic things": ("Basic authentication is missing", "Basic authentication is missing"),
}


@pytest.mark.parametrize(("text", "shown"), SHAPES.values(), ids=SHAPES)
def test_shapes_that_are_secret_whoever_wrote_them(text: str, shown: str) -> None:
    assert Redactor().redact(text) == shown


def test_an_answer_of_the_api_server_about_a_secret() -> None:
    redactor = Redactor()
    redactor.register(PIN)
    assert redactor.redact(f"expected string, got &value.valueUnstructured{{Value:{PIN}}}").count(PIN) == 0


def test_lines_of_a_key_are_secret_too() -> None:
    redactor = Redactor()
    redactor.register(PEM)
    assert redactor.redact("cannot parse 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmU'") == "cannot parse '***'"


def test_short_values_are_let_through() -> None:
    redactor = Redactor()
    redactor.register("main")
    assert redactor.redact("branch main") == "branch main"


def test_the_longest_of_two_values_is_masked() -> None:
    redactor = Redactor()
    redactor.register("password")
    redactor.register("password-of-bob")
    assert redactor.redact("x password-of-bob y") == "x *** y"


def test_of_two_values_that_overlap_nothing_is_left() -> None:
    redactor = Redactor()
    redactor.register("open-sesame")
    redactor.register("sesame-seeds")
    assert redactor.redact("x open-sesame-seeds y") == "x *** y"


def test_values_are_forgotten_oldest_first_and_completely() -> None:
    redactor = Redactor()
    for number in range(5_001):
        redactor.register(f"token-{number:05}")
    assert redactor.redact("token-00000 token-00001") == "token-00000 ***"
    assert "token" not in repr(redactor)


WHOSE = {
    "its own namespace": ("apps", "***"),
    "another namespace": ("shop", "Applied revision"),
    "an object without one": ("", "Applied revision"),
    "nobody knows": (None, "***"),
}


@pytest.mark.parametrize(("about", "shown"), WHOSE.values(), ids=WHOSE)
def test_a_value_is_masked_in_messages_of_its_namespace(about: str | None, shown: str) -> None:
    redactor = Redactor()
    redactor.register("Applied revision", "apps")
    redactor.register("token-of-process")
    assert redactor.redact("Applied revision token-of-process", about) == f"{shown} ***"


def test_values_of_two_namespaces_that_overlap() -> None:
    redactor = Redactor()
    redactor.register("open-sesame", "apps")
    redactor.register("sesame-seeds", "shop")
    assert redactor.redact("x open-sesame-seeds y") == "x *** y"
    assert redactor.redact("x open-sesame-seeds y", "apps") == "x ***-seeds y"


FLOODS = {
    "many": [f"token-{number:05}" for number in range(5_001)],
    "long ones": [f"{number:03}" + 4_000 * "?" for number in range(300)],
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_pushes_out_its_own_namespace_only(flood: list[str]) -> None:
    redactor = Redactor()
    redactor.register("secret-of-shop", "shop")
    for value in ("secret-of-apps", *flood):
        redactor.register(value, "apps")
    assert redactor.redact("secret-of-shop", "shop") == "***"
    assert redactor.redact("secret-of-apps", "apps") == "secret-of-apps"
    assert redactor.redact(flood[-1], "apps") == "***"


def test_a_text_of_many_lines_costs_no_more_than_a_key() -> None:
    redactor = Redactor()
    redactor.register("\n".join(f"line-number-{number:06}" for number in range(60_000)), "apps")
    assert redactor.redact("line-number-000499 line-number-000500") == "*** line-number-000500"


def test_values_that_begin_alike_are_found_at_once() -> None:
    """A message of one tenant with values of the same one, both chosen to be slow: 45 s, once."""
    redactor = Redactor()
    for number in range(5_000):
        redactor.register(f"aaaa{number:05}", "apps")
    for length in range(6, 500):
        redactor.register("a" * length, "apps")
    began = time.process_time()
    assert redactor.redact("aaaaaaab" * 4_000, "apps") == "***b" * 4_000
    assert time.process_time() - began < 3


def test_needles_within_needles() -> None:
    """The longest one counts, however many begin with one another."""
    values = ["abcdef" + "g" * count + tail for count in range(40) for tail in ("", "!", "z")]
    redactor = Redactor()
    for value in values:
        redactor.register(value)
    for value in values:
        assert redactor.redact(f"{value}#") == "***#"
    assert redactor.redact("abcdefggg?") == "***?"
    assert redactor.redact("abcde?") == "abcde?"


async def test_others_have_their_turn_meanwhile() -> None:
    redactor = Redactor()
    registering = asyncio.create_task(
        redactor.register_all((f"{number:05}-of-a-large-secret" for number in range(4_000)), "apps")
    )
    turns = 0
    while not registering.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 5
    assert redactor.redact("00000-of-a-large-secret", "apps") == "***"
