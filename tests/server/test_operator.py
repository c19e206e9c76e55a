"""The operator API: channels, lanes, the log and dead letters, over the wire."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import trio
from tests.fakes.daemon import CHAT, USER, Answer, Daemon, daemon, token
from tests.fakes.notification_socket import connected
from tests.fakes.receiver import reply, start

API = "/admin/v1"
PLANTED = "planted-authorization"
SECRET = "whsec_" + "B" * 32
TAKEN = reply(200, "Connection: close")


async def ask(
    running: Daemon, method: str, path: str, body: object = None, **options: Any
) -> Answer:
    """A request to the operator API, by an admin unless said otherwise."""
    options = {"scope": "admin", **options}
    address = running.app.admin_addresses[0]
    return await running.ask(method, f"{API}{path}", body, address=address, **options)


async def get(running: Daemon, path: str) -> Any:
    """What a GET answers."""
    answer = await ask(running, "GET", path)
    assert answer.status == 200, answer
    return answer.json


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until an async condition gives something, and return it."""
    with trio.fail_after(30):
        while not (found := await condition()):  # noqa: ASYNC110 - it asks from outside
            await trio.sleep(0.01)
    return found


async def dead_webhook(running: Daemon, nursery: trio.Nursery, *ids: str) -> dict[str, Any]:
    """A webhook whose receiver refuses all of these for good, and then takes everything."""
    refusal = reply(500, "Connection: close", body=b"no such luck")
    receiver = await start(nursery, answers=[*[refusal] * len(ids), *[TAKEN] * len(ids)])
    data = {"x-authorization": PLANTED, "x-webhookSecret": SECRET}
    channel = await running.open_webhook(f"http://127.0.0.1:{receiver.port}/hook", **data)
    await running.subscribe(channel)
    await running.publish(*ids)

    async def all_dead() -> bool:
        return len((await get(running, "/deadletters"))["dead_letters"]) == len(ids)

    await until(all_dead)
    return {"id": channel["resourceURL"].rpartition("/")[2], **channel}


@pytest.fixture
def once() -> dict[str, Any]:
    """Settings by which a webhook is tried once."""
    return {"delivery": {"webhook_retries": [0.0], "jitter": 0.0}}


async def test_every_route_wants_an_admin(tmp_path: Path) -> None:
    """No token, a bad one, an expired one, every other scope: refused before anything is looked
    at; and none of the routes is on the public listener (SE-2, CH-12)."""
    async with daemon(tmp_path) as running:
        await running.open_channel()
        before = await running.stored()
        routes = [one for one in running.app._admin_server._router.routes() if one.scope]
        assert len(routes) >= 14
        for route in routes:
            path = re.sub(r"\{\w+\}", "1", route.pattern.removeprefix(API))
            for bearer, status, code in [
                (None, 401, "token_missing"),
                ("x", 401, "token_invalid"),
                (token(scope="admin", expires_in=-31), 401, "token_expired"),
                (token(scope="channels publish push messaging"), 403, "scope_missing"),
            ]:
                answer = await ask(running, route.method, path, bearer=bearer)
                assert answer.refusal == (status, "POL0001", [code]), route
            answer = await running.ask(route.method, f"{API}{path}", scope="admin")
            assert answer.refusal == (404, "SVC0001", ["unknown_path"])
        assert await running.stored() == before


async def test_channels(tmp_path: Path) -> None:
    """Of one user, of one type, of everybody in pages; one by its id alone, whether its client is
    there, and what points to it (OP-3, OP-18)."""
    async with daemon(tmp_path) as running:
        socket, hook = await running.open_channel(), await running.open_webhook()
        await running.subscribe(socket)
        ids = [one["resourceURL"].rpartition("/")[2] for one in (socket, hook)]
        of_user = (await get(running, f"/channels?user={USER}"))["channels"]
        assert [one["id"] for one in of_user] == ids
        assert (await get(running, "/channels?user=nobody"))["channels"] == []
        hooks = await get(running, "/channels?type=webhooks")
        assert [one["id"] for one in hooks["channels"]] == ids[1:]
        first = await get(running, "/channels?limit=1")
        second = await get(running, f"/channels?limit=1&before={first['next']}")
        assert [one["id"] for one in first["channels"] + second["channels"]] == ids[::-1]
        assert second["next"] is None
        one = (await get(running, f"/channels/{ids[0]}"))["channel"]
        assert (one["user"], one["connected"], one["state"]) == (USER, False, "active")
        assert [each["service"] for each in one["subscriptions"]] == ["chat"]
        async with connected(running, socket):
            assert (await get(running, f"/channels/{ids[0]}"))["channel"]["connected"] is True
        assert (await ask(running, "DELETE", f"/channels/{ids[0]}")).status == 204
        answer = await ask(running, "GET", f"/channels/{ids[0]}")
        assert answer.refusal == (404, "SVC0004", ["channelId"])
        assert (await running.get(CHAT)).json["chatNotificationSubscriptionList"] is not None


async def test_suspending_and_resuming(tmp_path: Path) -> None:
    """A suspended webhook is not called, a resumed one is; both are events; a socket has nothing to
    suspend (circuit breaker)."""
    async with daemon(tmp_path) as running, trio.open_nursery() as nursery:
        receiver = await start(nursery, answers=[TAKEN] * 9)
        channel = await running.open_webhook(f"http://127.0.0.1:{receiver.port}/hook")
        await running.subscribe(channel)
        id_ = channel["resourceURL"].rpartition("/")[2]
        answer = await ask(running, "POST", f"/channels/{id_}/suspend")
        assert answer.json["channel"]["state"] == "suspended"
        await running.publish("a")
        await running.app.store.barrier()
        assert receiver.requests == []
        answer = await ask(running, "POST", f"/channels/{id_}/resume")
        assert answer.json["channel"]["state"] == "active"

        async def called() -> bool:
            await trio.lowlevel.checkpoint()
            return bool(receiver.requests)

        await until(called)
        for event in ("suspended", "resumed"):
            series = f'tocsin_operator_events_total{{event="channel.{event}"}}'
            assert await running.metric(series) == 1
        socket = (await running.open_channel())["resourceURL"].rpartition("/")[2]
        answer = await ask(running, "POST", f"/channels/{socket}/suspend")
        assert answer.refusal == (400, "SVC0002", ["channelType"])
        nursery.cancel_scope.cancel()


async def test_the_way_of_a_notification(tmp_path: Path, once: dict[str, Any]) -> None:
    """Its attempt with status and excerpt, by channel, by user, by id; its dead letter, with what
    it says; then replayed, and delivered (delivery.md, delivery log and dead letters)."""
    async with daemon(tmp_path, **once) as running, trio.open_nursery() as nursery:
        channel = await dead_webhook(running, nursery, "a", "b")
        for query in (f"channel={channel['id']}", f"user={USER}"):
            page = await get(running, f"/deliveries?{query}")
            assert sorted(one["notification"] for one in page["attempts"]) == ["a", "b"]
        [attempt] = (await get(running, "/deliveries?notification=a"))["attempts"]
        assert (attempt["status"], attempt["number"], attempt["type"]) == (500, 1, "Webhooks")
        assert attempt["excerpt"] == "no such luck"
        path = await get(running, "/notifications/a")
        [letter] = path["dead_letters"]
        assert (len(path["attempts"]), path["pending"], path["complete"]) == (1, [], True)
        assert path["notification"]["body"]["chatMessageNotification"] is not None
        shown = (await get(running, f"/deadletters/{letter['id']}"))["dead_letter"]
        assert shown["notification"]["id"] == "a"
        answer = await ask(running, "POST", "/deadletters/replay", {"channel": channel["id"]})
        assert answer.json == {"replayed": 2, "skipped": 0}

        async def delivered() -> bool:
            attempts = (await get(running, "/notifications/a"))["attempts"]
            return [one["result"] for one in attempts][:1] == ["delivered"]

        await until(delivered)
        assert (await get(running, "/deadletters"))["dead_letters"] == []
        answer = await ask(running, "GET", f"/deadletters/{letter['id']}")
        assert answer.refusal == (404, "SVC0004", ["deadLetterId"])
        answer = await ask(running, "GET", "/notifications/nobody")
        assert answer.refusal == (404, "SVC0004", ["notificationId"])
        nursery.cancel_scope.cancel()


async def test_pages_of_dead_letters_and_purging(tmp_path: Path, once: dict[str, Any]) -> None:
    """Pages join; one by its id, a user's, or all are forgotten (dead letters)."""
    async with daemon(tmp_path, **once) as running, trio.open_nursery() as nursery:
        await dead_webhook(running, nursery, "a", "b", "c")
        first = await get(running, f"/deadletters?user={USER}&limit=2")
        rest = await get(running, f"/deadletters?limit=2&before={first['next']}")
        letters = first["dead_letters"] + rest["dead_letters"]
        assert sorted(one["notification"] for one in letters) == ["a", "b", "c"]
        assert rest["next"] is None
        answer = await ask(running, "POST", "/deadletters/purge", {"ids": [letters[0]["id"]]})
        assert answer.json == {"purged": 1, "skipped": 0}
        answer = await ask(running, "POST", "/deadletters/purge", {"all": True})
        assert answer.json == {"purged": 2, "skipped": 0}

        async def none_is_shown() -> bool:
            return await running.metric('tocsin_dead_letters{type="Webhooks"}') == 0

        await until(none_is_shown)
        nursery.cancel_scope.cancel()


async def test_never_a_secret(tmp_path: Path, once: dict[str, Any]) -> None:
    """Whatever is asked, what signs and authorizes a webhook is not in the answers (SE-7)."""
    async with daemon(tmp_path, **once) as running, trio.open_nursery() as nursery:
        channel = await dead_webhook(running, nursery, "a")
        [letter] = (await get(running, "/deadletters"))["dead_letters"]
        for path in (
            *("/channels", f"/channels?user={USER}", f"/channels/{channel['id']}", "/lanes"),
            *("/deliveries?notification=a", "/notifications/a", "/deadletters"),
            f"/deadletters/{letter['id']}",
        ):
            text = orjson.dumps(await get(running, path)).decode()
            assert PLANTED not in text
            assert SECRET[6:] not in text
        one = (await get(running, f"/channels/{channel['id']}"))["channel"]
        assert (one["signed"], one["authorized"]) == (True, True)
        nursery.cancel_scope.cancel()


async def test_lanes(tmp_path: Path) -> None:
    """A paused lane says so with its backlog, and attempts nothing until it is resumed."""
    async with daemon(tmp_path) as running, trio.open_nursery() as nursery:
        receiver = await start(nursery, answers=[TAKEN] * 9)
        origin = f"http://127.0.0.1:{receiver.port}"
        await running.subscribe(await running.open_webhook(f"{origin}/hook"))
        name = quote(origin, safe="")
        assert (await ask(running, "POST", f"/lanes/{name}/pause")).status == 204
        await running.publish("a", "b")
        [lane] = (await get(running, "/lanes?blocked=true"))["lanes"]
        assert (lane["name"], lane["type"], lane["blocked"]) == (origin, "Webhooks", "paused")
        assert lane["backlog"] >= 1
        assert receiver.requests == []
        assert (await ask(running, "POST", f"/lanes/{name}/resume")).status == 204

        async def called() -> bool:
            await trio.lowlevel.checkpoint()
            return len(receiver.requests) == 2

        await until(called)
        assert (await get(running, "/lanes?blocked=true"))["lanes"] == []
        answer = await ask(running, "POST", f"/lanes/{name}/resume")
        assert answer.refusal == (404, "SVC0004", ["lane"])
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["nonsense", "apns/", "x/app", "http://h/path", "ftp://h", "//h"])
async def test_what_is_no_lane(tmp_path: Path, name: str) -> None:
    """Cannot be paused: nobody would ever come by it."""
    async with daemon(tmp_path) as running:
        for word in ("pause", "resume"):
            answer = await ask(running, "POST", f"/lanes/{quote(name, safe='')}/{word}")
            assert answer.refusal == (400, "SVC0002", ["lane"])


async def test_any_spelling_of_a_lane(tmp_path: Path) -> None:
    """Is the one that deliveries know it by."""
    async with daemon(tmp_path) as running:
        for spelled in ("HTTPS://Hook.Example/", "https://hook.example:443"):
            path = f"/lanes/{quote(spelled, safe='')}"
            assert (await ask(running, "POST", f"{path}/pause")).status == 204
            [lane] = (await get(running, "/lanes"))["lanes"]
            assert lane["name"] == "https://hook.example:443"


async def test_lanes_of_phones(tmp_path: Path) -> None:
    """They are an app each; paused and resumed like a webhook's, also before anybody pushed."""
    async with daemon(tmp_path) as running:
        assert (await ask(running, "POST", "/lanes/apns%2Fapp/pause")).status == 204
        [lane] = (await get(running, "/lanes?blocked=true"))["lanes"]
        assert (lane["name"], lane["type"], lane["blocked"]) == ("apns/app", "OMAPush", "paused")
        assert (await ask(running, "POST", "/lanes/apns%2Fapp/resume")).status == 204
        assert (await get(running, "/lanes?blocked=true"))["lanes"] == []


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/channels?limit=0", "limit"),
        ("/channels?limit=501", "limit"),
        ("/channels?before=-1", "before"),
        ("/channels?before=99999999999999999999", "before"),
        ("/deliveries", "channel"),
        ("/deliveries?user=", "user"),
        (f"/deliveries?user={'x' * 501}", "user"),
        ("/deadletters?since=yesterday", "since"),
        ("/deadletters?before=1-2-3", "before"),
        ("/lanes?limit=x", "limit"),
    ],
)
async def test_bad_parameters(tmp_path: Path, path: str, named: str) -> None:
    """400 with the parameter's name (SE-5, SE-6)."""
    async with daemon(tmp_path) as running:
        assert (await ask(running, "GET", path)).refusal == (400, "SVC0002", [named])


@pytest.mark.parametrize("verb", ["replay", "purge"])
async def test_bad_orders(tmp_path: Path, verb: str) -> None:
    """What does not say which letters, or says it badly, changes nothing; only `all` is all."""
    async with daemon(tmp_path) as running:
        for body, named in (
            (b"[", "body"),
            ([], "body"),
            ({}, "all"),
            ({"all": False}, "all"),
            ({"all": True, "user": "u"}, "all"),
            ({"chanel": "x"}, "chanel"),
            ({"ids": []}, "ids"),
            ({"ids": [True]}, "ids"),
            ({"ids": [1] * 1001}, "ids"),
            ({"ids": [2**63]}, "ids"),
            ({"user": 1}, "user"),
            ({"since": None}, "since"),
            ({"all": True, "resume": "1-2"}, "resume"),
        ):
            answer = await ask(running, "POST", f"/deadletters/{verb}", body)
            assert answer.refusal == (400, "SVC0002", [named]), body


async def test_an_unknown_type(tmp_path: Path) -> None:
    """400 with the types there are."""
    async with daemon(tmp_path) as running:
        status, message_id, variables = (await ask(running, "GET", "/channels?type=fax")).refusal
        assert (status, message_id, variables[0]) == (400, "SVC0003", "type")


async def test_events_reach_the_operators_webhook(tmp_path: Path) -> None:
    """Signed, through the same transport as everything else, from the first one on (PU-56)."""
    async with trio.open_nursery() as nursery:
        receiver = await start(nursery, answers=[TAKEN] * 9)
        operator = {
            "webhook_url": f"http://127.0.0.1:{receiver.port}/events",
            "webhook_secret": SECRET,
        }
        async with daemon(tmp_path, operator=operator):

            async def called() -> bool:
                await trio.lowlevel.checkpoint()
                return bool(receiver.requests)

            await until(called)
        [first, *_] = receiver.requests
        assert orjson.loads(first.body)["type"] == "daemon.ready"
        assert first.headers["webhook-signature"].startswith("v1,")
        nursery.cancel_scope.cancel()


async def test_a_channel_whose_far_side_is_blocked_is_throttled(tmp_path: Path) -> None:
    """As long as nothing is attempted; suspended is suspended (CH-75)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_webhook("http://127.0.0.1:65535/hook")
        path = f"/channels/{channel['resourceURL'].rpartition('/')[2]}"
        lane = f"/lanes/{quote('http://127.0.0.1:65535', safe='')}"

        async def state() -> str:
            return str((await get(running, path))["channel"]["state"])

        assert await state() == "active"
        await ask(running, "POST", f"{lane}/pause")
        assert await state() == "throttled"
        await ask(running, "POST", f"{path}/suspend")
        assert await state() == "suspended"
        await ask(running, "POST", f"{lane}/resume")
        await ask(running, "POST", f"{path}/resume")
        assert await state() == "active"
