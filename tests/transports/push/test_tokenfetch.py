"""Fetching access tokens over real TLS on loopback (push.md, PU-82)."""

import ssl
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import pytest
import trio
from tests.fakes.oauth_server import OauthServer, oauth_server

from tocsin.transports.push import tokenfetch
from tocsin.transports.push.tokenfetch import TokenFetchError, post_form

FORM = {"grant_type": "urn:x", "assertion": "a.b.c"}


@pytest.fixture
async def server() -> AsyncIterator[OauthServer]:
    async with oauth_server() as running:
        yield running


async def fetch(server: OauthServer) -> bytes:
    return await post_form(server.url, FORM, tls=server.trusting)


async def test_a_form_is_posted(server: OauthServer) -> None:
    """PU-42: url-encoded, and the answer's body comes back."""
    assert await fetch(server) == server.body
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /token HTTP/1.1\r\n")
    assert b"content-type: application/x-www-form-urlencoded" in head.lower()
    assert parse_qs(body.decode()) == {name: [value] for name, value in FORM.items()}


async def test_a_refusal_says_why(server: OauthServer) -> None:
    """PU-42, PU-43: status and error code, nothing else."""
    server.status = "400 Bad Request"
    server.body = b'{"error":"invalid_grant","error_description":"a.b.c"}'
    with pytest.raises(TokenFetchError) as caught:
        await fetch(server)
    assert str(caught.value) == "answered 400 invalid_grant"


async def test_redirects_are_not_followed(server: OauthServer) -> None:
    """PU-82: the assertion goes nowhere but to the configured address."""
    server.status, server.headers = "307 Temporary Redirect", (f"Location: {server.url}",)
    with pytest.raises(TokenFetchError, match="answered 307"):
        await fetch(server)
    assert len(server.requests) == 1


async def test_a_certificate_nobody_vouches_for(server: OauthServer) -> None:
    """PU-82: TLS is verified."""
    with pytest.raises(TokenFetchError, match="ConnectError"):
        await post_form(server.url, FORM, tls=ssl.create_default_context())
    assert not server.requests


async def test_the_environment_is_not_asked(
    server: OauthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PU-82: no proxy, whatever the environment says."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert await fetch(server) == server.body


async def test_an_answer_too_long(server: OauthServer) -> None:
    """PU-82: over 1 MiB is given up."""
    server.body = b" " * (1024 * 1024 + 1)
    with pytest.raises(TokenFetchError, match="more than 1048576 bytes"):
        await fetch(server)


async def test_an_answer_that_does_not_come(
    server: OauthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PU-82: each step has a time of its own."""
    monkeypatch.setattr(tokenfetch, "STEP_TIMEOUT", 1.0)
    server.is_silent = True
    with pytest.raises(TokenFetchError, match="ReadTimeout"):
        await fetch(server)


async def test_an_answer_that_never_ends(
    server: OauthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PU-82: a server that drips cannot keep the errand going."""
    # Time for the handshake: cancelled in that, httpcore leaves the socket to the collector.
    monkeypatch.setattr(tokenfetch, "FETCH_TIMEOUT", 1.0)
    server.drips = True
    with pytest.raises(TokenFetchError, match="not complete within 1 s"):
        await fetch(server)


async def test_nobody_is_there() -> None:
    """PU-43: the reason is a word, without the address."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    with pytest.raises(TokenFetchError) as caught:
        await post_form(f"https://127.0.0.1:{port}/", FORM, tls=ssl.create_default_context())
    assert str(caught.value) == "ConnectError"
