"""The traps of channels.md, section 16, over the wire: those of the REST calls."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.services import CHAT, EXAMPLES, FACES, PRESENCE, Face
from tests.fakes.daemon import (
    CHANNELS,
    HOOK,
    PUBLISH,
    RECEIPTS,
    USER,
    Answer,
    Daemon,
    daemon,
    token,
)
from tests.fakes.pushkeys import push_section

UNKNOWN = "ws-00000000-0000-4000-8000-000000000000"
CHAT_EXAMPLE = EXAMPLES["chat"][0]
APPS = push_section({"com.example.app": {"provider": "fcm"}})
# Each type of channel, and what its creation needs beside a correlator.
TYPES: dict[str, dict[str, Any]] = {
    "websockets": {},
    "LongPolling": {},
    "OMAPush": {
        "channelData": {
            "appId": "com.example.app",
            "x-provider": "fcm",
            "x-deviceToken": "fcm-registration-token:" + "A" * 140,
        }
    },
    "Webhooks": {"channelData": {"x-webhookURL": HOOK}},
}
FORBIDDEN = {
    ("presence", "OMAPush"),
    ("account", "websockets"),
    ("account", "LongPolling"),
    ("account", "OMAPush"),
}
ROOT_KEYS = {
    "presence": EXAMPLES["presence"][0],
    "account": {"userStatusNotification": {"status": "suspended"}},
}


PREFLIGHT = [
    ("Origin", "https://app.example"),
    ("Access-Control-Request-Method", "DELETE"),
    ("Access-Control-Request-Headers", "authorization, content-type"),
]


@pytest.mark.parametrize("spelling", ["websockets", "Websockets", "WebSockets", "WEBSOCKETS"])
async def test_t1_websockets_is_lowercase(tmp_path: Path, spelling: str) -> None:
    """T1, CH-30: however it was asked for, every answer says `websockets`."""
    async with daemon(tmp_path) as running:
        made = await running.open_channel(channelType=spelling)
        read = (await running.get(made["resourceURL"])).json["notificationChannel"]
        listed = (await running.get(f"{CHANNELS}?channelType={spelling}")).json
    [found] = listed["notificationChannelList"]["notificationChannel"]
    assert {one["channelType"] for one in (made, read, found)} == {"websockets"}


@pytest.mark.parametrize("face", FACES)
async def test_t3_t4_urls_to_split_on(tmp_path: Path, face: Face) -> None:
    """T3, T4, CH-90: resourceURLs contain `/channels/{id}` and `/subscriptions/`, end in the id,
    and a presence subscription answers its `presenceListId`, in every answer."""
    async with daemon(tmp_path) as running:
        channel = await running.open_webhook()
        assert channel["resourceURL"] == f"{CHANNELS}/{channel['callbackURL']}"
        collection = face.collection(USER)
        posted = await running.post(collection, face.wanted(channel["callbackURL"]))
        made = posted.json[face.envelope]
        read = (await running.get(made["resourceURL"])).json[face.envelope]
        [[_, listed]] = (await running.get(collection)).json.items()
        assert (await running.delete(made["resourceURL"])).status == 204
        assert (await running.delete(made["resourceURL"])).refusal == (
            404,
            "SVC0004",
            ["subscriptionId"],
        )
    assert made == read
    assert listed[face.envelope] == [made]
    assert "/subscriptions/" in made["resourceURL"]
    assert made["resourceURL"].rpartition("/")[0] == collection
    assert made.get("presenceListId") == ("L1" if face is PRESENCE else None)


@pytest.mark.parametrize("kind", TYPES)
async def test_t10_the_service_table(tmp_path: Path, kind: str) -> None:
    """T10, CH-93: every forbidden cell is 403 at the subscription and at `/callback`, every other
    one is allowed at both."""
    async with daemon(tmp_path, push=APPS) as running:
        channel = await running.open_channel(channelType=kind, **TYPES[kind])
        for face in FACES:
            wanted = face.wanted(channel["callbackURL"])
            subscribed = await running.post(face.collection(USER), wanted)
            notification = ROOT_KEYS.get(face.service) or EXAMPLES[face.service][0]
            callback = f"{channel['resourceURL']}/callback"
            told = await running.post(callback, notification, scope="publish")
            if (face.service, kind) in FORBIDDEN:
                forbidden = (403, "POL0001", ["service_not_on_channel"])
                assert subscribed.refusal == told.refusal == forbidden
            else:
                assert (subscribed.status, told.status) == (201, 204)


async def test_t11_every_error_is_json(tmp_path: Path) -> None:
    """T11, CH-5, CH-120: whatever is wrong, the body is our error with as many placeholders as
    variables and no braces, whatever was in the request."""
    async with daemon(tmp_path, limits={"body": 1024}) as running:
        answers = [await answer for answer in bad_requests(running)]
    assert {answer.refusal[0] for answer in answers} == {
        *(400, 401, 403, 404, 405, 406, 413, 415, 431)
    }


def bad_requests(running: Daemon) -> list[Awaitable[Answer]]:
    """One request, not yet made, for each way to be wrong."""
    one = f"{CHANNELS}/{UNKNOWN}"
    channel = {"notificationChannel": {"channelType": "{0}", "clientCorrelator": "{}"}}
    plain = [("Content-Type", "text/plain")]
    braces = {"user": USER, "service": "chat", "notification": CHAT_EXAMPLE, "{0}%1": 1}
    return [
        running.get("/{0}"),
        running.get("/%7B0%7D"),
        running.get(CHANNELS, bearer=None),
        running.get(CHANNELS, bearer="{0}"),
        running.get(CHANNELS, bearer=token(expires_in=-60)),
        running.get(CHANNELS, bearer=token("bob")),
        running.get(CHANNELS, scope="publish"),
        running.get(CHANNELS, headers=[("Accept", "text/html")]),
        running.get(CHANNELS, headers=[("X-Long", "x" * 20_000)]),
        running.get(one),
        running.get(f"{one}/websocket"),
        running.get(f"{one}/channelLifetime"),
        running.ask("PUT", CHANNELS),
        running.ask("PATCH", CHANNELS),
        running.delete(one),
        running.post(CHANNELS, b"{"),
        running.post(CHANNELS, b"[]"),
        running.post(CHANNELS, b'{"a":1,"a":2}'),
        running.post(CHANNELS, {}),
        running.post(CHANNELS, channel),
        running.post(CHANNELS, b"{}", headers=plain),
        running.post(CHANNELS, b" " * 2000),
        *(running.post(face.collection(USER), face.wanted("{0}")) for face in FACES),
        *(running.get(f"{face.collection(USER)}/{{0}}") for face in FACES),
        running.post(PUBLISH, {}, scope="publish"),
        running.post(PUBLISH, braces, scope="publish"),
        running.post(PUBLISH, b"{}", scope="publish", headers=plain),
        running.post(PUBLISH, [{}] * 1001, scope="publish"),
    ]


async def test_t11_no_upgrade_is_json_too(tmp_path: Path) -> None:
    """T11, CH-50: so is the refusal of a socket's path without an upgrade."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        answer = await running.get(channel["channelData"]["channelURL"])
    assert answer.refusal == (426, "SVC0001", ["upgrade_required"])


async def test_t12_preflights_and_errors_of_every_path(tmp_path: Path) -> None:
    """T12, CH-6: a page may call every path of the contract with every method, and can read the
    errors, `Location` and `Retry-After`."""
    async with daemon(tmp_path) as running:
        for path in rest_paths():
            preflight = await running.ask("OPTIONS", path, bearer=None, headers=PREFLIGHT)
            assert (preflight.status, preflight.body) == (204, b""), path
            assert cors(preflight, "allow-origin") == {"*"}
            assert cors(preflight, "allow-methods") == {"GET", "POST", "PUT", "DELETE"}
            assert cors(preflight, "allow-headers") >= {"authorization", "content-type"}
            refused = [
                await running.ask(method, path, bearer=None, headers=PREFLIGHT[:1])
                for method in ("GET", "POST", "PUT", "DELETE")
            ]
            assert {answer.refusal[0] for answer in refused} <= {401, 405}
            for answer in refused:
                assert cors(answer, "allow-origin") == {"*"}
                assert cors(answer, "expose-headers") >= {"location", "retry-after"}


def rest_paths() -> list[str]:
    """Every path of sections 3, 10 and 12."""
    one = f"{CHANNELS}/{UNKNOWN}"
    parts = ("channelLifetime", "websocket", "notifications", "callback")
    collections = [face.collection(USER) for face in FACES]
    collections += [
        f"/cpaas/presence/v1/{USER}/subscriptions",
        "/cpaas/portal/v1/accounts/a/projects/p/subscriptions",
    ]
    singles = [f"{path}/x" for path in collections if not path.startswith("/cpaas/presence")]
    singles.append(f"{PRESENCE.collection(USER)}/x")
    return [CHANNELS, one, *(f"{one}/{part}" for part in parts), *collections, *singles, PUBLISH]


def cors(answer: Answer, name: str) -> set[str]:
    """The words of a CORS header; what is case-insensitive in lower case."""
    words = answer.headers[f"access-control-{name}"].split(",")
    is_methods = name == "allow-methods"
    return {word.strip() if is_methods else word.strip().lower() for word in words}


async def test_t13_a_hundred_webhook_subscribes_leave_one_channel(tmp_path: Path) -> None:
    """T13, CH-80, CH-92: a client that POSTs a webhook channel at each subscribe and deletes only
    the subscription leaves one channel, and no subscription."""
    async with daemon(tmp_path) as running:
        ids = set()
        for _ in range(100):
            channel = await running.open_webhook()
            ids.add(channel["callbackURL"])
            subscription = await running.subscribe(channel)
            assert (await running.delete(subscription["resourceURL"])).status == 204
        listed = (await running.get(CHANNELS)).json["notificationChannelList"]
        left = (await running.get(CHAT.collection(USER))).json
    assert len(ids) == len(listed["notificationChannel"]) == 1
    assert left["chatNotificationSubscriptionList"]["chatNotificationSubscription"] == []


async def test_t17_plus_and_at_in_paths(tmp_path: Path) -> None:
    """T17, CH-3: `+` and `@`, raw or encoded, name the same resource in every path."""

    def spelt(path: str) -> list[str]:
        at = path.replace("@", "%40")
        return [path, at, path.replace("+", "%2B"), at.replace("+", "%2b"), f"{at}/"]

    async with daemon(tmp_path) as running:
        wanted = {"channelType": "websockets", "clientCorrelator": "a+b"}
        for number, collection in enumerate(spelt(CHANNELS)):
            answer = await running.post(collection, {"notificationChannel": wanted})
            channel = answer.json["notificationChannel"]
            assert channel["resourceURL"].startswith(f"{CHANNELS}/"), collection
            for url in spelt(channel["resourceURL"]):
                assert (await running.get(url)).status == 200, url
            for query in ("a+b", "a%2Bb"):
                found = await running.get(f"{CHANNELS}?clientCorrelator={query}")
                listed = found.json["notificationChannelList"]["notificationChannel"]
                assert len(listed) == number + 1
        receipts = {"callbackReference": {"notifyURL": channel["callbackURL"]}}
        urls = set()
        for collection in spelt(RECEIPTS):
            body = {"deliveryReceiptSubscription": receipts}
            made = (await running.post(collection, body)).json["deliveryReceiptSubscription"]
            urls.add(made["resourceURL"])
        [url] = urls
        assert url.startswith(f"{RECEIPTS}/")
        for spelling in spelt(url):
            assert (await running.get(spelling)).status == 200, spelling
        assert (await running.delete(spelt(url)[3])).status == 204
