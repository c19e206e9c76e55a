"""A page in a real browser, from another origin, against the real daemon."""

from pathlib import Path
from typing import Any

import pytest
import trio
from tests.end_to_end.browser import REQUIRED, Page, find_browser, open_page
from tests.end_to_end.clients import Platform, User, chat
from tests.end_to_end.daemon import Daemon, token

pytestmark = pytest.mark.end_to_end

USER = "alice@example.com"
SMS_ROOT = "inboundSMSMessageNotification"


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


async def test_a_page_from_another_origin(
    tmp_path: Path, nursery: trio.Nursery, chromium: str, port: int
) -> None:
    """CH-6, CH-10, CH-50, CH-58, CH-60, T7, T12: a page of another origin lives through a restart
    and a SIGKILL as deployed clients do, is shown by its position that nothing is missing, gets
    everything once and in order, can read `Location`, `Retry-After` and errors, and leaves."""
    client = parameters(port, hasty=token(USER, "channels hasty"))
    async with (
        Daemon(tmp_path, settings(port, **{"limits.rate": 2})) as daemon,
        open_page(nursery, chromium, tmp_path, "notifications.html", **client) as page,
    ):
        platform = Platform(daemon)
        await check_setting_up(page)
        await page.report("opened")
        start = await page.report("resumed")
        ids = await platform.publish(chat(USER, "1"), sms("2"), chat(USER, "3"))
        received = await page.reports("received", 3)

        daemon.terminate()
        assert (await page.report("closed"))["code"] == 1012
        assert await daemon.exit_status() == 0
        await daemon.start()
        ids += await platform.publish(sms("4"), chat(USER, "5"))
        assert await position_after_return(page, start["epoch"]) == start["seq"] + 3
        received += await page.reports("received", 2)

        ids += await platform.publish(*(chat(USER, str(n)) for n in range(6, 30)))
        await daemon.kill()
        received += before_the_last(await page.until("closed"), code=1006)
        await daemon.start()
        ids += await platform.publish(sms("30"), chat(USER, "leave"))
        # Nobody knows how many the killed process has counted: it goes on behind all it may have.
        assert await position_after_return(page, start["epoch"]) >= start["seq"] + len(received)
        *rest, left = await page.until("left")
        assert (
            await daemon.metric("tocsin_http_requests_total", method="OPTIONS", status="204") >= 3
        )

    received += [report for report in rest if report["event"] == "received"]
    firsts = {report["id"]: report["text"] for report in received}
    assert list(firsts) == ids
    assert list(firsts.values()) == [*map(str, range(1, 31)), "leave"]
    assert (left["statuses"], left["status"]) == ([204, 204, 204], 404)


async def test_a_page_that_polls(
    tmp_path: Path, nursery: trio.Nursery, chromium: str, port: int
) -> None:
    """CH-6, CH-65, CH-67: a page of another origin polls with fetch through a restart and a
    SIGKILL, goes on from the position it can read in each answer, and gets everything in order,
    once but for equal ids."""
    daemon = Daemon(tmp_path, settings(port, **{"longpoll.hold": 1}))
    async with (
        daemon,
        open_page(nursery, chromium, tmp_path, "longpoll.html", **parameters(port)) as page,
    ):
        platform = Platform(daemon)
        data = (await page.report("created"))["body"]["notificationChannel"]["channelData"]
        assert (data["channelURL"].rpartition("/")[2], data["maxNotifications"]) == (
            "notifications",
            15,
        )
        assert (await page.report("polled"))["notifications"] == []
        ids = await platform.publish(*(chat(USER, str(n)) for n in range(40)))
        polls = await polled_until(page, ids[-1])

        daemon.terminate()
        assert await daemon.exit_status() == 0
        await daemon.start()
        ids += await platform.publish(chat(USER, "after a restart"))
        polls += await polled_until(page, ids[-1])

        ids += await platform.publish(*(chat(USER, str(n)) for n in range(40)))
        await daemon.kill()
        await daemon.start()
        ids += await platform.publish(chat(USER, "leave"))
        polls += await polled_until(page, ids[-1])
        left = await page.report("left")

    assert list(dict.fromkeys(ids_of(polls))) == ids
    assert max(len(poll["notifications"]) for poll in polls) == 15
    assert {poll["status"] for poll in polls} == {200}
    assert all("x-channel-position" in poll["headers"] for poll in polls)
    assert left["statuses"] == [204, 204]


async def polled_until(page: Page, id_: str) -> list[dict[str, Any]]:
    """The page's polls up to the one that brought this notification."""
    polls: list[dict[str, Any]] = []
    while id_ not in ids_of(polls[-1:]):
        polls += [one for one in await page.until("polled") if one["event"] == "polled"]
    return polls


def ids_of(polls: list[dict[str, Any]]) -> list[str]:
    """The ids of the notifications these polls brought, each time they were brought."""
    return [notification["id"] for poll in polls for notification in poll["notifications"]]


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


async def check_setting_up(page: Page) -> None:
    """The page's channel and subscriptions exist, and it could read three refusals."""
    created = await page.report("created")
    made = created["body"]["notificationChannel"]
    assert (created["status"], made["channelType"]) == (201, "websockets")
    assert created["headers"]["location"] == made["resourceURL"]
    assert (await page.report("subscribed"))["statuses"] == [201, 201]
    refusals = await page.reports("refused", 3)
    assert [(one["status"], message_id(one["body"])) for one in refusals] == [
        (404, "SVC0004"),
        (401, "POL0001"),
        (429, "SVC1000"),
    ]
    assert int(refusals[-1]["headers"]["retry-after"]) >= 1


async def position_after_return(page: Page, epoch: str) -> int:
    """The socket opens again; its first frame proves that nothing is missing, and counts on."""
    await page.report("opened")
    resumed = await page.report("resumed")
    assert (resumed["epoch"], resumed["recovered"], resumed["missed"]) == (epoch, True, 0)
    return int(resumed["seq"])


def before_the_last(reports: list[dict[str, Any]], *, code: int) -> list[dict[str, Any]]:
    """What was received before the socket closed with this code."""
    *received, closed = reports
    assert closed["code"] == code
    assert {report["event"] for report in received} <= {"received"}
    return received


def message_id(body: dict[str, Any]) -> str:
    """Of an error."""
    [exception] = body["requestError"].values()
    return str(exception["messageId"])


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
