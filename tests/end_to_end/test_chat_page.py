"""The page to try messages with, in two windows of a real browser, against the real daemon."""

import re
from pathlib import Path

import pytest
from tests.end_to_end.daemon import Daemon, token, until
from tests.end_to_end.devtools import Window, Windows, browser

pytestmark = pytest.mark.end_to_end

OWN = "#log .own:last-child .state"
MARKUP = "<img src=x onerror=alert(1)> & so on"


def settings(port: int) -> dict[str, object]:
    """A daemon with the page, that comes back where the page looks for it."""
    return {"listen.public": f"127.0.0.1:{port}", "messaging.chat_page": True}


async def window(windows: Windows, daemon: Daemon, name: str) -> Window:
    """Somebody with the page open, connected."""
    url = f"http://{daemon.admin}/chat#token={token(name, 'messaging')}"
    opened = await windows.open(url)
    await opened.shows("#self", name)
    await opened.shows("#state", "connected")
    return opened


async def test_two_people_write_to_each_other(tmp_path: Path, chromium: str, port: int) -> None:
    """MS-28, MS-44, MS-46, MS-53, MS-54: messages go both ways as they were typed; the sender sees
    them received, displayed to who looks elsewhere, and read, and that the other one writes. The
    history has the same again, and nothing is shown twice."""
    async with (
        Daemon(tmp_path, settings(port)) as daemon,
        browser(chromium, tmp_path) as windows,
    ):
        alice = await window(windows, daemon, "alice")
        bob = await window(windows, daemon, "bob")
        await alice.submit("#direct", id="bob")
        await alice.submit("#compose", content=MARKUP)
        await bob.shows("#conversations", "alice, invisible, 1 unread")
        await alice.shows(OWN, "✓✓")

        await bob.focus(has_it=False)
        await bob.click("#conversations button")
        await bob.shows("#log", MARKUP)
        await alice.shows(OWN, "displayed")
        await bob.focus(has_it=True)
        await alice.shows(OWN, "read")

        await bob.fill("#compose [name=content]", "hello")
        await alice.shows("#composing", "bob")
        await bob.submit("#compose")
        await alice.shows("#log", "hello")
        await bob.shows(OWN, "read")
        await until_gone(alice, "#composing", "bob")
        assert await bob.count("#log img") == 0

        await alice.click("#earlier")
        await until_gone(alice, "#earlier:not([hidden])", "Earlier")
        assert await alice.count("#log li") == 2


async def test_a_room(tmp_path: Path, chromium: str, port: int) -> None:
    """MS-33, MS-36, MS-41: somebody invited sees so and joins; those in a Room see who is there and
    how, and what is said; who leaves is gone."""
    async with (
        Daemon(tmp_path, settings(port)) as daemon,
        browser(chromium, tmp_path) as windows,
    ):
        alice = await window(windows, daemon, "alice")
        bob = await window(windows, daemon, "bob")
        await alice.submit("#create", name="Day shift")
        await alice.shows("#title", "Day shift")
        await alice.submit("#invite", id="bob")
        await bob.shows("#invitations", "Join Day shift, from alice")
        await bob.click("#invitations button")
        await bob.shows("#title", "Day shift")
        await alice.shows("#members", "bob, available")
        await bob.shows("#members", "alice (administrator), available")

        await bob.fill("#status", "in a call")
        await bob.fill("#availability", "busy")
        await alice.shows("#members", "bob, busy: in a call")
        await bob.fill("#availability", "invisible")
        await alice.shows("#members", "bob, invisible")

        await bob.submit("#compose", content="good morning")
        await alice.shows("#log", "good morning")
        await bob.shows(OWN, "read")
        await bob.click("#leave")
        await until_gone(alice, "#members", "bob")
        await until_gone(bob, "#conversations", "Day shift")


async def test_nothing_is_lost_when_the_daemon_is_killed(
    tmp_path: Path, chromium: str, port: int
) -> None:
    """MS-61, MS-63, MS-70, section 13: a page whose daemon is killed comes back by itself, sends
    what it could not, once, and goes on where it was; one opened anew has everything, too."""
    async with (
        Daemon(tmp_path, settings(port)) as daemon,
        browser(chromium, tmp_path) as windows,
    ):
        alice = await window(windows, daemon, "alice")
        bob = await window(windows, daemon, "bob")
        await alice.submit("#direct", id="bob")
        await alice.submit("#compose", content="before")
        await bob.shows("#conversations", "alice")
        await bob.click("#conversations button")
        await alice.shows(OWN, "read")

        await daemon.kill()
        await alice.shows("#state", "trying again")
        await alice.submit("#compose", content="in between")
        await alice.shows(OWN, "sending")
        await daemon.start()
        await alice.shows("#state", "connected")
        await bob.shows("#state", "connected")
        await alice.shows(OWN, "read")
        await bob.submit("#compose", content="after")
        await alice.shows("#log", "after")

        again = await window(windows, daemon, "bob")
        await again.click("#conversations button")
        for one in (alice, bob, again):
            await one.shows("#log", "after")
            text = await one.text("#log")
            assert re.findall("before|in between|after", text) == ["before", "in between", "after"]


async def test_a_token_that_is_not_good(tmp_path: Path, chromium: str, port: int) -> None:
    """MS-4, section 13: a page that is not let in says so and asks for another token, with which
    it goes on; it does not try the bad one again and again."""
    async with (
        Daemon(tmp_path, settings(port)) as daemon,
        browser(chromium, tmp_path) as windows,
    ):
        alice = await windows.open(f"http://{daemon.admin}/chat#token=bad")
        await alice.shows("#state", "the token is valid no longer")
        await alice.submit("#login", token=token("alice", "messaging"))
        await alice.shows("#self", "alice")
        await alice.shows("#state", "connected")


async def until_gone(window: Window, selector: str, text: str) -> None:
    """Wait until this text is there no longer."""

    async def is_gone() -> bool:
        return text not in await window.text(selector)

    await until(is_gone, f"no {text!r} at {selector}")
