"""The page to try messages with, as the admin listener serves it."""

import hashlib
import re
from base64 import b64encode
from http import HTTPStatus

import pytest

from tocsin.server.chatpage import HTML, ChatPageFace
from tocsin.server.router import Router
from tocsin.wire.request import Request
from tocsin.wire.response import Response


async def served(address: str = "http://127.0.0.1:8080") -> Response:
    """The answer of a face that was told this address."""
    router = Router()
    ChatPageFace(lambda: address, prefix="/messaging").add_routes(router)
    route = router.match("GET", ["chat"]).route
    assert route is not None
    assert route.scope is None
    response = await route.handler(Request("GET", "/chat", ("chat",), {}))
    assert isinstance(response, Response)
    return response


def policy(response: Response) -> dict[str, str]:
    """The directives of its Content-Security-Policy."""
    [value] = [value for name, value in response.headers if name == "Content-Security-Policy"]
    pairs = [directive.partition(" ") for directive in value.split("; ")]
    return {name: sources for name, _, sources in pairs}


@pytest.mark.parametrize("tag", ["script", "style"])
async def test_only_what_is_in_the_page_may_run(tag: str) -> None:
    """Its only script and its only style are those whose hashes its policy names, so nothing that
    a subscriber says can become either."""
    response = await served()
    [inline] = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", response.body.decode(), re.DOTALL)
    digest = b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert policy(response)[f"{tag}-src"] == f"'sha256-{digest}'"
    assert policy(response)["default-src"] == "'none'"


@pytest.mark.parametrize(
    ("address", "sources"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080 ws://127.0.0.1:8080"),
        ("https://talk.example", "https://talk.example wss://talk.example"),
    ],
)
async def test_it_talks_to_the_public_listener_only(address: str, sources: str) -> None:
    """A token goes nowhere but to the daemon it is for."""
    response = await served(address)
    assert policy(response)["connect-src"] == sources
    assert f'data-base="{address}/messaging"' in response.body.decode()


async def test_what_is_said_is_never_markup() -> None:
    """The script has none of the ways to make markup of a text."""
    body = (await served()).body.decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in body
    assert "{script}" not in body
    assert "{style}" not in body


async def test_nobody_keeps_it_and_nobody_frames_it() -> None:
    """It is not cached, tells nobody where it was and stands in no frame."""
    response = await served()
    assert (response.status, response.content_type) == (HTTPStatus.OK, HTML)
    assert response.cache_control == "no-store"
    assert ("Referrer-Policy", "no-referrer") in response.headers
    assert policy(response)["frame-ancestors"] == "'none'"
