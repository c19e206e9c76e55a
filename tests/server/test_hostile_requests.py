"""Bad input (channels.md, CH-121): row by row, then fuzzed bodies, paths, queries and headers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import (
    CHANNELS,
    CHAT,
    HOOK,
    INBOUND,
    PUBLISH,
    USER,
    Daemon,
    chat,
    daemon,
    token,
)
from tests.fakes.subscriptions import ACCOUNT, CALL, ENVELOPES, PRESENCE, PROJECT, PUSH

Refusal = tuple[int, str, list[str]]
Row = tuple[object, Refusal]
EVERYTHING = "channels publish admin"
TABLES: dict[str, Any] = {
    "push": PUSH,
    "public_base_url": "https://api.example",
    "limits": {"body": 4096, "header_bytes": 4096},
    "publish": {"body": 80_000, "max_items": 20},
}
TYPES = "websockets, OMAPush, Webhooks, LongPolling, NativeChannel"
NOT_JSON = (b"", b"{", b"{}x", b"nul", b"\xef\xbb\xbf{}", b"\xff{}", '{"a":1}'.encode("utf-16"))
NOT_STRICT = (
    *(b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":1,"a":1}', b'{"a":"\\ud800"}'),
    *(b"[" * 33 + b"]" * 33, b'{"a":' * 33 + b"1" + b"}" * 33),
)
MEDIA = ("text/plain", "application/json; charset=latin-1", "application/xml", "", "json")


def invalid(member: str) -> Refusal:
    return 400, "SVC0002", [member]


def not_one_of(member: str, *valid: str) -> Refusal:
    return 400, "SVC0003", [member, ", ".join(valid)]


def created(kind: object = "websockets", data: object = None, **members: Any) -> dict[str, Any]:
    """A channel to be created; `channelData` only if there is some."""
    more = {} if data is None else {"channelData": data}
    wanted = {"channelType": kind, "clientCorrelator": "c", **more, **members}
    return {"notificationChannel": wanted}


def hook(**data: object) -> dict[str, Any]:
    return created("Webhooks", {"x-webhookURL": HOOK, **data})


def device(**data: object) -> dict[str, Any]:
    good = {"appId": "app", "x-provider": "apns", "x-deviceToken": "AB" * 32}
    return created("OMAPush", {**good, **data})


POST_CHANNELS: list[Row] = [
    *((wrong, invalid("body")) for wrong in ([], 1, None, "x", True)),
    ({}, invalid("notificationChannel")),
    *(({"notificationChannel": wrong}, invalid("notificationChannel")) for wrong in ([], 1, None)),
    ({"notificationChannel": {}}, invalid("channelType")),
    (created(None), invalid("channelType")),
    *(
        (created(wrong), not_one_of("channelType", *TYPES.split(", ")[:4]))
        for wrong in ("x", 1, [])
    ),
    *(
        (created(clientCorrelator=wrong), invalid("clientCorrelator"))
        for wrong in (None, "", "c" * 257, 1, [], True)
    ),
    *((created(applicationTag=wrong), invalid("applicationTag")) for wrong in ("", 1, {})),
    *(
        (created(channelLifetime=wrong), invalid("channelLifetime"))
        for wrong in (0, -1, 1.5, True, None, "x", "-1", "", [60], -(10**30))
    ),
    *(
        (created(**{"x-connCheckRole": wrong}), not_one_of("x-connCheckRole", "client", "server"))
        for wrong in ("x", 1, "CLIENT", ["client"])
    ),
    *((created("Webhooks", wrong), invalid("channelData")) for wrong in (None, 1, [], "x")),
    *(
        (hook(**{"x-webhookURL": wrong}), invalid("channelData.x-webhookURL"))
        for wrong in (
            *(None, 1, "", "x", "https://", "ftp://127.0.0.1/", "https://u:p@h.example/"),
            *("http://192.0.2.1/", "https://10.0.0.1/", "https://[::1]/", f"{HOOK}#f", f"{HOOK} x"),
            *("https://127.0.0.1:99999/", "https://h.example/" + "x" * 2048, "http://2130706433/"),
        )
    ),
    *(
        (hook(**{"x-authorization": wrong}), invalid("channelData.x-authorization"))
        for wrong in (1, "", "a\r\nb: c", "é", "x" * 4097)
    ),
    *(
        (hook(**{"x-webhookSecret": wrong}), invalid("channelData.x-webhookSecret"))
        for wrong in (1, "", "whsec_", "whsec_!", "x" * 40)
    ),
    *((device(appId=wrong), invalid("channelData.appId")) for wrong in (None, "", "other", 1)),
    (device(**{"x-provider": None}), invalid("channelData.x-provider")),
    *(
        (device(**{"x-provider": wrong}), not_one_of("channelData.x-provider", "apns", "fcm"))
        for wrong in ("x", 1, [])
    ),
    *(
        (device(**{"x-deviceToken": wrong}), invalid("channelData.x-deviceToken"))
        for wrong in (None, "", "x y", 1, "A" * 4097)
    ),
    *(
        (
            created("LongPolling", {"maxNotifications": wrong}),
            invalid("channelData.maxNotifications"),
        )
        for wrong in ("x", 1.5, True, [])
    ),
]


def item(**members: object) -> dict[str, Any]:
    """Something to publish; a member that is None is left out."""
    return {k: v for k, v in {**chat("n"), **members}.items() if v is not None}


PUBLISHED: list[Row] = [
    *((wrong, invalid("body")) for wrong in (1, "x", True)),
    *((item(user=wrong), invalid("user")) for wrong in (None, "", 1, "u" * 257, "a\x00", "\x85")),
    (item(service=None), invalid("service")),
    *(
        (
            item(service=wrong),
            not_one_of("service", "sms", "chat", "call", "presence", "account"),
        )
        for wrong in ("x", 1, [], {})
    ),
    *(
        (item(notification=wrong), invalid("notification"))
        for wrong in (
            *(None, 1, [], {}, {"a": {}, "b": {}}, {"a": 1}, {"1a": {}}, {"a b": {}}, {"": {}}),
            *({"connCheck": {}}, {"connAck": {}}, {"channelResumed": {}}, {"a" * 65: {}}),
        )
    ),
    *((item(id=wrong), invalid("id")) for wrong in ("", 1, "a b", 'a"', "\\", "é", "x" * 129)),
    (item(notification={"a": {"id": "m"}}), invalid("id")),
    *(
        (item(priority=wrong), not_one_of("priority", "urgent", "normal", "low"))
        for wrong in ("x", 1, [])
    ),
    *(
        (item(expires_in=wrong), invalid("expires_in"))
        for wrong in (0, -1, 1.5, True, "x", 2_592_001, 10**30)
    ),
    *(
        (item(**{member: wrong}), invalid(member))
        for member in ("collapse_key", "order_key", "destination_address")
        for wrong in ("", 1, "k" * 257)
    ),
    (item(ttl=5), invalid("ttl")),
    (item(notification={"a": {"t": "x" * 65_536}}), (413, "SVC0001", ["too_large"])),
]


async def refuse(
    running: Daemon, method: str, target: str, rows: Sequence[Row], **options: Any
) -> None:
    """Each is refused just so, and leaves nothing behind."""
    before = await running.stored()
    for body, refusal in rows:
        wire = b"null" if body is None and method != "GET" else body
        answer = await running.ask(method, target, wire, scope=EVERYTHING, **options)
        assert answer.refusal == refusal, body
        assert answer.headers["access-control-allow-origin"] == "*"
        assert await running.stored() == before, body
    assert (await running.admin("/readyz")).status == 200


async def test_any_body(tmp_path: Path) -> None:
    """Row 1: not JSON or not strict, another Content-Type, too large, on every kind of POST and
    PUT; a body on GET is ignored."""
    async with daemon(tmp_path, **TABLES) as running:
        channel = await running.open_channel()
        one = channel["resourceURL"]
        bad: list[Row] = [(body, invalid("body")) for body in (*NOT_JSON, *NOT_STRICT)]
        large: list[Row] = [(b" " * 80_001, (413, "SVC0001", ["too_large"]))]
        for method, target in (
            *(("POST", CHANNELS), ("PUT", one), ("PUT", f"{one}/channelLifetime")),
            *(("POST", path) for path in (INBOUND, CHAT, CALL, PRESENCE, ACCOUNT)),
            *(
                ("POST", PUBLISH),
                ("POST", f"{one}/callback"),
                ("POST", CHANNELS.removeprefix("/cpaas")),
            ),
        ):
            await refuse(running, method, target, bad)
            await refuse(running, method, target, large)
            for kind in MEDIA:
                named = [("Content-Type", kind)]
                refusal = 415, "SVC0001", ["media_type"]
                await refuse(running, method, target, [(b"{}", refusal)], headers=named)
        assert (await running.get(one, headers=[("Content-Type", "x")])).status == 200
        assert (await running.ask("GET", one, b"{")).status == 200


async def test_post_channels(tmp_path: Path) -> None:
    """Rows 2 and 3: the envelope, then each member in the order of section 4."""
    tables = {name: value for name, value in TABLES.items() if name != "public_base_url"}
    async with daemon(tmp_path, **{**tables, "limits": {"body": 16_384}}) as running:
        await refuse(running, "POST", CHANNELS, POST_CHANNELS)


async def test_quotas(tmp_path: Path) -> None:
    """Rows 4 and 7: the channel and the subscription beyond the quota."""
    limits = {"channels_per_user": 2, "subscriptions_per_user": 1}
    async with daemon(tmp_path, limits=limits) as running:
        first, second = await running.open_channel(), await running.open_channel()
        await running.subscribe(first)
        await refuse(running, "POST", CHANNELS, [(created(), (403, "POL0001", ["quota_channels"]))])
        one_more = {ENVELOPES[CHAT]: {"callbackReference": {"notifyURL": second["callbackURL"]}}}
        full = 403, "POL0001", ["quota_subscriptions"]
        await refuse(running, "POST", CHAT, [(one_more, full)])


async def test_put_lifetime(tmp_path: Path) -> None:
    """Row 5: a bad value, or a channel that is permanent."""
    async with daemon(tmp_path, **TABLES) as running:
        envelope = "notificationChannelLifetime"
        rows: list[Row] = [
            *((wrong, invalid("body")) for wrong in ([], 1, None)),
            *((wrong, invalid(envelope)) for wrong in ({}, {envelope: 1})),
            *(
                ({envelope: {"channelLifetime": wrong}}, invalid("channelLifetime"))
                for wrong in (None, 0, -1, 1.5, "x", True, [], {}, "-5", -(10**30))
            ),
        ]
        good: list[Row] = [({envelope: {"channelLifetime": 60}}, invalid("channelLifetime"))]
        one = (await running.open_channel())["resourceURL"]
        permanent = (await running.open_webhook())["resourceURL"]
        for suffix in ("", "/channelLifetime"):
            await refuse(running, "PUT", one + suffix, rows)
            await refuse(running, "PUT", permanent + suffix, good)


@pytest.mark.parametrize("path", [INBOUND, CHAT, CALL, PRESENCE, ACCOUNT, PROJECT])
async def test_post_subscription(tmp_path: Path, path: str) -> None:
    """Rows 6 and 7: envelope, notifyURL, duration; a service that may not use the channel."""
    envelope = ENVELOPES[path]
    async with daemon(tmp_path, **TABLES) as running:
        channel = (await running.open_webhook())["callbackURL"]
        others: list[object] = [1, "", "x", channel[:-1], f"{channel}x", "/channels/", [channel]]
        others += [None] * (path != CALL)

        def body(url: object = channel, **members: object) -> dict[str, Any]:
            return {envelope: {"callbackReference": {"notifyURL": url}, **members}}

        rows: list[Row] = [
            *((wrong, invalid("body")) for wrong in ([], 1, None)),
            *((wrong, invalid(envelope)) for wrong in ({}, {envelope: []}, {"x": {}})),
            *((body(wrong), invalid("callbackReference.notifyURL")) for wrong in others),
            *(
                (body(duration=wrong), invalid("duration"))
                for wrong in (0, -1, 1.5, "x", True, [], -(10**30))
            ),
        ]
        bearer = token(USER, EVERYTHING, project="shop")
        await refuse(running, "POST", path, rows, bearer=bearer)
        if path in {ACCOUNT, PROJECT}:
            socket = (await running.open_channel())["callbackURL"]
            refusal = 403, "POL0001", ["service_not_on_channel"]
            await refuse(running, "POST", path, [(body(socket), refusal)], bearer=bearer)


async def test_handshake(tmp_path: Path) -> None:
    """Row 8: HTTP, never 101 and then a Close."""
    async with daemon(tmp_path, **TABLES) as running:
        channel = await running.open_channel()
        hook_id = (await running.open_webhook())["callbackURL"]
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        one = f"{channel['resourceURL']}/websocket"
        gone: Refusal = (404, "SVC0004", ["channelId"])
        no_upgrade: Refusal = (426, "SVC0001", ["upgrade_required"])
        for target, headers, refusal in (
            (one, {}, no_upgrade),
            (one, {**upgrade, **key, "Upgrade": "h2c"}, no_upgrade),
            (one, {**upgrade, **key, "Sec-WebSocket-Version": "8"}, no_upgrade),
            (one, upgrade, invalid("Sec-WebSocket-Key")),
            (one, {**upgrade, "Sec-WebSocket-Key": "short"}, invalid("Sec-WebSocket-Key")),
            (f"{CHANNELS}/{hook_id}/websocket", {**upgrade, **key}, gone),
            (f"{CHANNELS}/ws-none/websocket", {**upgrade, **key}, gone),
            *(
                (f"{one}?since={since}", {**upgrade, **key}, invalid("since"))
                for since in (
                    "",
                    "x",
                    "0",
                    "0:",
                    ":0",
                    "0:-1",
                    "0:x",
                    "%00:0",
                    "0:0:0",
                    "0:" + "9" * 99,
                )
            ),
        ):
            await refuse(running, "GET", target, [(None, refusal)], headers=list(headers.items()))


async def test_poll(tmp_path: Path) -> None:
    """Polls: another channel type, positions that are none or not ours, bodies that are no JSON;
    what is refused settles nothing."""
    async with daemon(tmp_path, **TABLES, longpoll={"hold": 0}) as running:
        channel = await running.open_channel(channelType="LongPolling")
        await running.subscribe(channel)
        await running.publish("m1")
        poll = channel["channelData"]["channelURL"]
        first = await running.get(poll)
        epoch = first.headers["x-channel-position"].partition(":")[0]
        socket = (await running.open_channel())["resourceURL"]
        gone: Refusal = (404, "SVC0004", ["channelId"])
        for method in ("GET", "POST"):
            await refuse(running, method, f"{socket}/notifications", [(b"", gone)])
            for since in (
                *("", "x", "0", ":", "0:", ":0", "0:-1", "0:x", "%00:0", "0:0:0", "0:%2B1", " "),
                *(
                    "9" * 99 + ":0",
                    f"{epoch}:2",
                    f"{epoch}:{'9' * 40}",
                    f"{epoch}:1.0",
                    "x:1",
                    "%ff",
                ),
            ):
                target = f"{poll}?since={since.replace(' ', '%20')}"
                await refuse(running, method, target, [(b"", invalid("since"))])
        bad: list[Row] = [(body, invalid("body")) for body in (*NOT_JSON[1:], *NOT_STRICT)]
        await refuse(running, "POST", poll, bad)
        again = await running.get(f"{poll}?since=0:0")
        assert [one["chatMessageNotification"]["id"] for one in again.json["notificationList"]] == [
            "m1"
        ]
        assert (await running.get(poll)).json == {"notificationList": []}


async def test_publish(tmp_path: Path) -> None:
    """Rows 9 and 10: each member alone, and in a list beside good items, which are taken."""
    async with daemon(tmp_path, **TABLES) as running:
        await running.subscribe(await running.open_channel())
        await refuse(running, "POST", PUBLISH, PUBLISHED)
        before = await running.stored()
        for body, (_, message_id, variables) in PUBLISHED:
            answer = await running.post(PUBLISH, [body], scope="publish")
            [told] = answer.json
            assert (answer.status, told["status"], told["channels"]) == (202, "rejected", 0)
            assert (told["error"]["messageId"], told["error"]["variables"]) == (
                message_id,
                variables,
            )
        assert await running.stored() == before
        many: list[Row] = [([item()] * 21, (413, "SVC0001", ["too_many_items"]))]
        await refuse(running, "POST", PUBLISH, many)


async def test_callback(tmp_path: Path) -> None:
    """Rows 9 and 10 for one channel: the notification and the members in the query."""
    async with daemon(tmp_path, **TABLES) as running:
        one = f"{(await running.open_channel())['resourceURL']}/callback"
        good = chat("n")["notification"]
        rows: list[Row] = [
            ({}, invalid("notification")),
            ({"chatA": {}, "chatB": {}}, invalid("notification")),
            ({"chatA": 1}, invalid("notification")),
            ({"connCheck": {}}, invalid("notification")),
            ({"x": {}}, invalid("service")),
            ({"chatA": {"t": "x" * 65_536}}, (413, "SVC0001", ["too_large"])),
        ]
        await refuse(running, "POST", one, rows)
        for query, refusal in (
            ("service=account", (403, "POL0001", ["service_not_on_channel"])),
            ("priority=x", not_one_of("priority", "urgent", "normal", "low")),
            *((f"expires_in={wrong}", invalid("expires_in")) for wrong in ("", "0", "x", "1.5")),
            *((f"{name}=", invalid(name)) for name in ("order_key", "collapse_key")),
            ("x=1", invalid("x")),
        ):
            await refuse(running, "POST", f"{one}?{query}", [(good, refusal)])
