"""The opening handshake (RFC 6455 section 4.2, CH-50)."""

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tocsin.wire.handshake import Refusal, accept_value, answer

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "host": "example.org",
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": KEY,
}


def test_the_example_of_the_rfc() -> None:
    """The accept value is the one RFC 6455 section 1.3 computes."""
    assert answer("GET", GOOD) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "connection", ["keep-alive, Upgrade", "upgrade", "UPGRADE ,x", "a,upgrade"]
)
def test_connection_is_a_list_of_tokens(connection: str) -> None:
    """Firefox sends `keep-alive, Upgrade`; tokens are compared whatever their case."""
    assert isinstance(answer("GET", {**GOOD, "connection": connection}), str)


@pytest.mark.parametrize("upgrade", ["WebSocket", "h2c, websocket"])
def test_upgrade_is_a_list_of_tokens(upgrade: str) -> None:
    """Any list of protocols with websocket among them will do."""
    assert isinstance(answer("GET", {**GOOD, "upgrade": upgrade}), str)


@pytest.mark.parametrize(
    "change",
    [
        {"connection": "close"},
        {"connection": "upgraded"},
        {"connection": ""},
        {"upgrade": "h2c"},
        {"upgrade": "websockets"},
        {"upgrade": ""},
    ],
)
def test_no_upgrade_or_another_one(change: dict[str, str]) -> None:
    """CH-50: no or another Upgrade is 426 and names version 13."""
    refusal = answer("GET", {**GOOD, **change})
    assert refusal is Refusal.NOT_AN_UPGRADE
    assert refusal.status == 426
    assert ("Sec-WebSocket-Version", "13") in refusal.headers
    assert ("Upgrade", "websocket") in refusal.headers


@pytest.mark.parametrize(("method", "version"), [("POST", "1.1"), ("HEAD", "1.1"), ("GET", "1.0")])
def test_only_get_of_http_1_1(method: str, version: str) -> None:
    """Section 4.1: the method is GET and the version at least 1.1."""
    assert answer(method, GOOD, http_version=version) is Refusal.NOT_AN_UPGRADE


@pytest.mark.parametrize("version", ["8", "", "14", "13, 8", "013"])
def test_another_version(version: str) -> None:
    """Section 4.4: anything but version 13 is 426 with the version we speak."""
    refusal = answer("GET", {**GOOD, "sec-websocket-version": version})
    assert refusal is Refusal.BAD_VERSION
    assert refusal.status == 426
    assert ("Sec-WebSocket-Version", "13") in refusal.headers


@pytest.mark.parametrize(
    "key",
    ["", "short", KEY[:-1], KEY + "A", "é" * 24, f"{KEY}, {KEY}", KEY.replace("d", "-"), "A" * 24],
)
def test_a_malformed_key(key: str) -> None:
    """Section 4.2.1: the key is 16 bytes in base64, once; anything else is 400."""
    refusal = answer("GET", {**GOOD, "sec-websocket-key": key})
    assert refusal is Refusal.BAD_KEY
    assert refusal.status == 400
    assert refusal.headers == ()


def test_a_missing_key_is_malformed() -> None:
    """A request that asks for everything but has no key is 400, not 426."""
    headers = {name: value for name, value in GOOD.items() if name != "sec-websocket-key"}
    assert answer("GET", headers) is Refusal.BAD_KEY


def test_the_answer_satisfies_another_implementation() -> None:
    """What is accepted is what `websockets` computes for the same request."""
    request = Request("/", Headers(GOOD))
    theirs = ServerProtocol().accept(request)
    assert theirs.headers["Sec-WebSocket-Accept"] == accept_value(KEY)
