"""A page in a real browser, from another origin, against the real daemon."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.end_to_end.browser import REQUIRED, find_browser, open_page
from tests.end_to_end.clients import User
from tests.end_to_end.daemon import Daemon, token

pytestmark = pytest.mark.end_to_end

USER = "alice@example.com"
SMS_ROOT = "inboundSMSMessageNotification"


@pytest.fixture
def port() -> Iterator[int]:
    """A port that stays ours while the daemon is down: bound, never listening."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def settings(port: int, **more: object) -> dict[str, object]:
    """A daemon that comes back where the page looks for it."""
    return {"listen.public": f"127.0.0.1:{port}", **more}


def parameters(port: int, **more: object) -> dict[str, object]:
    """What a page must know."""
    return {"base": f"http://127.0.0.1:{port}", "user": USER, "token": token(USER), **more}


def sms(text: str) -> dict[str, Any]:
    """A publish item: a text message to the user."""
    return {
        "user": USER,
        "service": "sms",
        "notification": {SMS_ROOT: {"inboundSMSMessage": {"message": text}}},
    }


async def test_a_page_of_an_origin_that_is_not_listed(
    tmp_path: Path, nursery: trio.Nursery, chromium: str, port: int
) -> None:
    """CH-6: with `cors.origins` another origin's page can neither call nor open a socket."""
    listed = {"cors.origins": ["https://app.example"]}
    async with Daemon(tmp_path, settings(port, **listed)) as daemon:
        channel = await User(daemon, USER).socket_channel()
        client = parameters(port, channel=channel)
        async with open_page(nursery, chromium, tmp_path, "stranger.html", **client) as page:
            fetched = await page.reports("fetched", 2)
            closed = await page.report("closed")
    assert [report["outcome"] for report in fetched] == ["TypeError", "TypeError"]
    assert closed["code"] == 1006


def test_without_a_browser_the_tests_are_skipped_unless_one_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OP-1: `make test` passes on a machine without Chromium, and says so; CI does not."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        find_browser()
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        find_browser()
