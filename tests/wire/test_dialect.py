"""Where things are in each dialect (CH-1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.dialect import Dialect, escaped, netapi, oma
from tocsin.wire.request import split_path


@given(st.text())
def test_escaped_segments(segment: str) -> None:
    """Any text is one path segment that reads back the same, `+` and `@` unescaped (CH-3)."""
    path = f"/x/{escaped(segment)}/y"
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    assert split_path(path) == ("x", segment, "y")
    assert escaped("+1@x") == "+1@x"


@pytest.mark.parametrize("prefix", ["", "/cpaas", "/a/b"])
def test_netapi_is_relative(prefix: str) -> None:
    """Its URLs are paths below the prefix, the socket's too (CH-1, T3)."""
    dialect = netapi(prefix)
    channels = f"{prefix}/notificationchannel/v1/+1@x/channels"
    assert dialect.channels_url("+1@x") == dialect.channels_path("+1@x") == channels
    assert dialect.channel_url("+1@x", "ws-1") == f"{channels}/ws-1"
    assert dialect.socket_url("+1@x", "ws-1") == f"{channels}/ws-1/websocket"


@pytest.mark.parametrize(
    ("base", "sockets"),
    [
        ("https://x.example", "wss://x.example"),
        ("https://x.example/", "wss://x.example"),
        ("http://http.example:8080", "ws://http.example:8080"),
    ],
)
def test_oma_is_absolute(base: str, sockets: str) -> None:
    """Its URLs begin with the public one, those of sockets with ws or wss; its paths have no
    prefix (CH-1)."""
    dialect = oma(base)
    path = "/notificationchannel/v1/u%20v/channels"
    assert dialect.channels_path("u v") == path
    assert dialect.channel_url("u v", "ws-1") == f"{base.rstrip('/')}{path}/ws-1"
    assert dialect.socket_url("u v", "ws-1") == f"{sockets}{path}/ws-1/websocket"


@pytest.mark.parametrize("dialect", [netapi("/cpaas"), oma("https://x")])
@given(user=st.text(min_size=1))
def test_paths_match_their_pattern(dialect: Dialect, user: str) -> None:
    """The path of any user's channels is one that the dialect's own route takes (CH-3)."""
    segments = split_path(dialect.channels_path(user))
    pattern = split_path(dialect.channels_pattern)
    assert segments is not None
    assert pattern is not None
    assert [user if one == "{user}" else one for one in pattern] == list(segments)
