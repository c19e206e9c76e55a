"""tocsin.server.sockjs.settings (sockjs.md, section 10)."""

import pytest

from tocsin.server.sockjs.settings import SockJsSettings, check


def test_the_defaults() -> None:
    """Section 10, SJ-36: every default, and nothing on that runs script in pages."""
    settings = SockJsSettings()
    assert settings.transports == ["websocket", "xhr-streaming", "xhr-polling", "eventsource"]
    assert (settings.heartbeat_delay, settings.disconnect_delay) == (25, 5)
    assert (settings.response_limit, settings.prove_within) == (131_072, 5)
    assert (settings.jsessionid, settings.sockjs_url, settings.base_url) == (False, "", "")
    assert settings.max_sessions == 100_000
    assert (settings.outbox_bytes, settings.outbox_messages) == (1_048_576, 1000)
    assert (settings.inbox_bytes, settings.inbox_messages) == (1_048_576, 256)
    assert check(settings) == []


def test_the_iframe_needs_a_script() -> None:
    """SJ-36: refused without `sockjs_url`, or with one that is neither a path nor an address."""
    assert len(check(SockJsSettings(transports=["iframe"]))) == 1
    assert check(SockJsSettings(transports=["iframe"], sockjs_url="/sockjs.js")) == []
    assert check(SockJsSettings(transports=["iframe"], sockjs_url="https://cdn/s.js")) == []
    with pytest.raises(ValueError, match="path or an http address"):
        SockJsSettings(sockjs_url="sockjs.js")


def test_transports_are_a_closed_set() -> None:
    """Section 7."""
    with pytest.raises(ValueError, match="must be one of"):
        SockJsSettings(transports=["xhr"])
