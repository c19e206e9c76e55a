"""`/info` as clients read it."""

import json

import pytest

from tocsin.wire.sockjs.info import for_client, info


def test_without_base_url() -> None:
    """The four members and no other (SJ-5)."""
    text = info(websocket=True, cookie_needed=False, entropy=2**32 - 1)
    assert text == (
        b'{"websocket":true,"cookie_needed":false,"origins":["*:*"],"entropy":4294967295}'
    )


def test_with_base_url() -> None:
    """One more where it is configured (SJ-6)."""
    text = info(websocket=False, cookie_needed=True, entropy=0, base_url="https://x/é?a=b")
    assert json.loads(text) == {
        "websocket": False,
        "cookie_needed": True,
        "origins": ["*:*"],
        "entropy": 0,
        "base_url": "https://x/é?a=b",
    }


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ("", "https://x/m"),
        ("t=1", "https://x/m"),
        ("access_token=T", "https://x/m?access_token=T"),
        ("access_token=T%26&t=17", "https://x/m?access_token=T%26"),
        ("t=17&a=1&&tt=2&b", "https://x/m?a=1&tt=2&b"),
    ],
)
def test_the_clients_query(query: str, url: str) -> None:
    """The query stays as it was written, without `t` (SJ-6)."""
    assert for_client("https://x/m", query) == url


def test_a_base_url_with_a_query_of_its_own() -> None:
    """Both queries are there (SJ-6)."""
    assert for_client("https://x/m?node=1", "a=2&t=3") == "https://x/m?node=1&a=2"
