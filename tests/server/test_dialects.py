"""Two dialects over the same channels, and what holds on every path of both."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import CHANNELS, HOOK, USER, Answer, Daemon, daemon, token
from tests.fakes.notification_socket import connected
from tests.fakes.pushkeys import push_section

from tocsin.server.router import Route

BASE = "https://api.example:8443"
STRICT = CHANNELS.removeprefix("/cpaas")
TOKEN = "AB" * 32
TABLES: dict[str, Any] = {
    "public_base_url": f"{BASE}/",
    "netapi": {"native_app_id": "droid"},
    "push": push_section({"com.x": {"provider": "apns"}, "droid": {"provider": "fcm"}}),
}
PUSH = {"appId": "com.x", "x-provider": "apns", "x-deviceToken": TOKEN}
EXTRAS = {"type": "t", "channelSubType": "s", "channelSubTypeVersion": "1"}
EVERYTHING = "channels publish push messaging admin"
HEADERS = "Authorization, Content-Type, Accept, X-Cpaas-Agent, Idempotency-Key"


async def create(running: Daemon, *, path: str = STRICT, **members: Any) -> dict[str, Any]:
    answer = await running.post(path, {"notificationChannel": members})
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json["notificationChannel"]
    assert answer.headers["location"] == made["resourceURL"]
    return made


async def both(running: Daemon, channel: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A channel as the contract and as the strict dialect show it, alone and in a list."""
    channel_id = re.findall(r"[a-z]{2}-[0-9a-f-]{36}", channel["resourceURL"])[0]
    found = []
    for path in (CHANNELS, STRICT):
        one = (await running.get(f"{path}/{channel_id}")).json["notificationChannel"]
        listed = (await running.get(path)).json["notificationChannelList"]["notificationChannel"]
        assert one in listed
        found.append(one)
    return found[0], found[1]


async def test_the_strict_dialect(tmp_path: Path) -> None:
    """Absolute URLs in bodies and Location, the callback below the resource, the spelling of the
    request; the contract shows the same channel in its own form (CH-1, CH-30)."""
    async with daemon(tmp_path, **TABLES) as running:
        made = await create(running, channelType="WebSockets", clientCorrelator="c")
        channel_id = made["resourceURL"].rpartition("/")[2]
        assert made == {
            "callbackURL": f"{BASE}{STRICT}/{channel_id}/callback",
            "channelData": {"channelURL": f"wss://api.example:8443{STRICT}/{channel_id}/websocket"},
            "channelLifetime": 3600,
            "channelType": "WebSockets",
            "clientCorrelator": "c",
            "resourceURL": f"{BASE}{STRICT}/{channel_id}",
        }
        contract, strict = await both(running, made)
        assert strict == made
        assert contract == {
            **made,
            "callbackURL": channel_id,
            "channelData": {"channelURL": f"{CHANNELS}/{channel_id}/websocket"},
            "channelType": "websockets",
            "resourceURL": f"{CHANNELS}/{channel_id}",
        }
        listed = (await running.get(STRICT)).json["notificationChannelList"]
        assert listed == {"notificationChannel": [made], "resourceURL": f"{BASE}{STRICT}"}
        assert (await running.delete(f"{STRICT}/{channel_id}")).status == 204
        assert (await running.get(f"{CHANNELS}/{channel_id}")).status == 404


async def test_it_is_off_without_a_public_url(tmp_path: Path) -> None:
    """Its paths are unknown unless `public_base_url` is set (CH-1, CH-8)."""
    async with daemon(tmp_path) as running:
        answer = await running.get(STRICT)
        assert answer.refusal == (404, "SVC0001", ["unknown_path"])


@pytest.mark.parametrize("path", [CHANNELS, STRICT])
async def test_a_socket_opens_in_either_dialect(tmp_path: Path, path: str) -> None:
    """A channel of one dialect is subscribed to, connected to and served in the other (CH-1)."""
    async with daemon(tmp_path, **TABLES) as running:
        made = await create(running, path=path, channelType="websockets", clientCorrelator="c")
        contract, _ = await both(running, made)
        await running.subscribe(contract)
        async with connected(running, contract) as client:
            await running.publish("a")
            assert await client.ids(1) == ["a"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("websockets", {}),
        ("longPolling", {"maxNotifications": "15"}),
        ("webHooks", {"x-webhookURL": HOOK, "x-authorization": "t"}),
        ("omapush", PUSH),
    ],
)
async def test_every_type_in_both(tmp_path: Path, kind: str, data: dict[str, Any]) -> None:
    """Each type is made in either dialect and shown by both, after a restart too, with what is
    echoed in the strict one only (CH-1, CH-22, CH-30, CH-33)."""
    async with daemon(tmp_path, **TABLES) as running:
        made = await create(running, channelType=kind, channelData={**data, **EXTRAS})
        contract, strict = await both(running, made)
        assert strict == made
        assert strict["channelData"].items() >= EXTRAS.items()
        assert strict["channelType"] == kind
        assert contract["channelType"].lower() == kind.lower()
        assert not EXTRAS.keys() & contract["channelData"].keys()
        assert "clientCorrelator" not in strict
        assert f"/{contract['callbackURL']}" in strict["callbackURL"]
    async with daemon(tmp_path, **TABLES) as running:
        assert await both(running, made) == (contract, strict)


async def test_push(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Section 3's example: app, provider and token come back as they were sent, and the token is
    in no log (CH-32, CH-42, SE-7)."""
    async with daemon(tmp_path, **TABLES) as running:
        for bad in ("planted", f"{TOKEN}.planted"):
            data = {**PUSH, "x-deviceToken": bad}
            wanted = {"channelType": "OMAPush", "clientCorrelator": "c", "channelData": data}
            answer = await running.post(CHANNELS, {"notificationChannel": wanted})
            assert answer.refusal == (400, "SVC0002", ["channelData.x-deviceToken"])
        wanted["channelData"] = {**PUSH, "appId": "com.y"}
        answer = await running.post(CHANNELS, {"notificationChannel": wanted})
        assert answer.refusal == (400, "SVC0002", ["channelData.appId"])
        made = await running.open_channel(channelType="OMAPush", channelData=PUSH)
        assert made == {
            "callbackURL": made["callbackURL"],
            "channelData": PUSH,
            "channelType": "OMAPush",
            "clientCorrelator": "tab",
            "resourceURL": f"{CHANNELS}/{made['callbackURL']}",
        }
        assert made["callbackURL"].startswith("ps-")
    printed = "".join(capfd.readouterr())
    assert "listener.started" in printed
    assert "planted" not in printed
    assert TOKEN not in printed
    assert TOKEN.lower() not in printed


async def test_the_same_device_again(tmp_path: Path) -> None:
    """Same user, app and correlator keep their id with the new token, in either dialect and after
    a restart; another correlator with that token takes its place (CH-74)."""
    async with daemon(tmp_path, **TABLES) as running:
        first = await create(running, path=CHANNELS, **device(TOKEN))
        again = await create(running, **device("cd" * 32))
        assert again["resourceURL"].endswith(first["callbackURL"])
        contract, _ = await both(running, again)
        assert contract == {**first, "channelData": {**PUSH, "x-deviceToken": "cd" * 32}}
    async with daemon(tmp_path, **TABLES) as running:
        assert (await running.get(contract["resourceURL"])).json["notificationChannel"] == contract
        other = await create(running, path=CHANNELS, **device("CD" * 32, clientCorrelator="d"))
        assert other["callbackURL"] != contract["callbackURL"]
        assert (await running.get(contract["resourceURL"])).status == 404


def device(device_token: str, **members: Any) -> dict[str, Any]:
    """A push channel with this token."""
    data = {**PUSH, "x-deviceToken": device_token}
    return {"channelType": "OMAPush", "clientCorrelator": "c", "channelData": data, **members}


async def test_long_polling(tmp_path: Path) -> None:
    """The answer has the path to poll and a number, though deployed clients send a string
    (section 4)."""
    async with daemon(tmp_path) as running:
        made = await running.open_channel(
            channelType="longpolling", channelData={"maxNotifications": "15"}, channelLifetime=90
        )
        assert made["channelType"] == "LongPolling"
        assert made["channelLifetime"] == 90
        assert made["channelData"] == {
            "channelURL": f"{CHANNELS}/{made['callbackURL']}/notifications",
            "maxNotifications": 15,
        }
        assert made["callbackURL"].startswith("lp-")


async def test_native_channels(tmp_path: Path) -> None:
    """Made in the strict dialect only, where its app is configured; the contract calls it OMAPush
    (CH-30, CH-33)."""
    native: dict[str, Any] = {
        "channelType": "NativeChannel",
        "channelData": {"registrationToken": "t", **EXTRAS},
    }
    async with daemon(tmp_path, **TABLES) as running:
        made = await create(running, **native, channelLifetime=90)
        assert made["channelType"] == "NativeChannel"
        assert made["channelData"] == native["channelData"]
        assert made["channelLifetime"] == 90
        contract, _ = await both(running, made)
        assert contract["channelType"] == "OMAPush"
        assert contract["channelData"] == {
            "appId": "droid",
            "x-deviceToken": "t",
            "x-provider": "fcm",
        }
        for path, kind, count in (
            *((STRICT, "nativechannel", 1), (STRICT, "OMAPush", 0)),
            *((CHANNELS, "nativechannel", 0), (CHANNELS, "OMAPush", 1)),
        ):
            listed = await running.get(f"{path}?channelType={kind}")
            found = listed.json["notificationChannelList"]["notificationChannel"]
            assert len(found) == count, (path, kind)
        wanted = {"notificationChannel": {**native, "clientCorrelator": "c"}}
        answer = await running.post(CHANNELS, wanted)
        assert answer.refusal[1:] == (
            "SVC0003",
            ["channelType", "websockets, OMAPush, Webhooks, LongPolling"],
        )
    tables = {**TABLES, "netapi": {}}
    async with daemon(tmp_path, **tables) as running:
        assert (await running.post(STRICT, wanted)).refusal[1] == "SVC0003"


async def test_a_channel_without_a_correlator(tmp_path: Path) -> None:
    """The strict dialect does without; such channels pair with nothing, but the same webhook
    again is the same channel (section 4, CH-80)."""
    async with daemon(tmp_path, **TABLES) as running:
        first = await create(running, channelType="websockets")
        second = await create(running, channelType="websockets")
        assert first["resourceURL"] != second["resourceURL"]
        assert "clientCorrelator" not in first
        hook: dict[str, Any] = {"channelType": "Webhooks", "channelData": {"x-webhookURL": HOOK}}
        made = await create(running, **hook)
        assert await create(running, **hook) == made
        other = await create(running, **hook, clientCorrelator="c")
        assert other["resourceURL"] != made["resourceURL"]
        for channel in (first, made):
            channel_id = channel["resourceURL"].rpartition("/")[2]
            listed = await running.get(f"{STRICT}?clientCorrelator={channel_id}")
            assert listed.json["notificationChannelList"]["notificationChannel"] == []


# -- on every path ---------------------------------------------------------------------------


def routes(running: Daemon) -> list[Route]:
    """Every route of the public listener but the descriptions, which may be kept and refuse nobody,
    and the push gateway's, which has answers of its own."""
    found = running.app._server._router.routes()
    apart = ("/pnm2", "/openapi.json", "/asyncapi.json")
    return [one for one in found if not one.pattern.startswith(apart)]


def path_of(pattern: str, user: str = USER) -> str:
    """A path that matches a pattern; all of it but the user is made up."""
    return re.sub(r"\{(\w+)\}", lambda match: user if match[1] == "user" else "x1", pattern)


def patterns(running: Daemon) -> dict[str, set[str]]:
    """The methods of each pattern."""
    found: dict[str, set[str]] = {}
    for route in routes(running):
        found.setdefault(route.pattern, set()).add(route.method)
    return found


def is_readable_by_pages(answer: Answer) -> bool:
    return (
        answer.headers["access-control-allow-origin"] == "*"
        and answer.headers["access-control-expose-headers"] == "Location, Retry-After"
        and answer.headers["cache-control"] == "no-store"
    )


async def test_preflight_on_every_path(tmp_path: Path) -> None:
    """OPTIONS needs no token anywhere, names every method and header, DELETE among them, and has
    no body (CH-5, CH-6, T12)."""
    async with daemon(tmp_path, **TABLES, auth={"builtin": {"enabled": True}}) as running:
        found = patterns(running)
        assert {path.startswith("/cpaas") for path in found} == {True, False}
        for pattern in found:
            for path in (path_of(pattern), f"{path_of(pattern)}/"):
                answer = await running.ask(
                    "OPTIONS",
                    path,
                    bearer=None,
                    headers=[
                        ("Origin", "https://app.example"),
                        ("Access-Control-Request-Method", "DELETE"),
                    ],
                )
                assert (answer.status, answer.body) == (204, b""), path
                assert "content-type" not in answer.headers
                assert answer.headers["access-control-allow-origin"] == "*"
                assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE"
                assert answer.headers["access-control-allow-headers"] == HEADERS
                assert answer.headers["access-control-max-age"] == "86400"


async def test_errors_on_every_path(tmp_path: Path) -> None:
    """A wrong method, no token and an unknown path below it: JSON that a page may read, `Allow`
    with the 405 (CH-5, CH-6, CH-8, T11, T12)."""
    async with daemon(tmp_path, **TABLES) as running:
        for pattern, methods in patterns(running).items():
            answer = await running.ask("PATCH", path_of(pattern))
            assert answer.refusal == (405, "SVC0001", ["method"]), pattern
            assert answer.headers["allow"] == ", ".join(sorted(methods))
            assert is_readable_by_pages(answer)
            answer = await running.ask("GET", f"{path_of(pattern)}/x/y/z/w")
            assert answer.refusal == (404, "SVC0001", ["unknown_path"])
            assert is_readable_by_pages(answer)
            for method in methods:
                answer = await running.ask(method, path_of(pattern), bearer=None)
                assert answer.refusal == (401, "POL0001", ["token_missing"])
                assert is_readable_by_pages(answer)


async def test_accept_on_every_path(tmp_path: Path) -> None:
    """An Accept that excludes JSON is 406 wherever JSON is answered (CH-8)."""
    async with daemon(tmp_path, **TABLES) as running:
        for route in routes(running):
            answer = await running.ask(
                route.method,
                path_of(route.pattern),
                scope=EVERYTHING,
                headers=[("Accept", "text/html, application/json;q=0")],
            )
            assert is_readable_by_pages(answer)
            if route.json:
                assert answer.refusal == (406, "SVC0001", ["not_acceptable"]), route
            else:
                assert answer.refusal[0] != 406


async def test_any_form_of_a_path(tmp_path: Path) -> None:
    """`+` and `@`, raw or encoded, and a slash at the end name the same resource on every path:
    none of them is another user's, and all are answered alike (CH-3, T17)."""
    user = "+1613@x"
    mine = token(user, EVERYTHING.removesuffix(" admin"))
    async with daemon(tmp_path, **TABLES) as running:
        for route in routes(running):
            if "{user}" not in route.pattern or route.method == "POST":
                continue
            answers = [
                await running.ask(route.method, path_of(route.pattern, form) + end, bearer=mine)
                for form in (user, "%2B1613%40x", "%2b1613@x")
                for end in ("", "/")
            ]
            assert {(one.status, one.body) for one in answers} == {
                (answers[0].status, answers[0].body)
            }
            assert answers[0].status in {200, 400, 404, 426}, route
