"""The push gateway from outside: what providers answer, and what callers are told (push.md, A)."""

import json
from pathlib import Path
from urllib.parse import urlencode

import orjson
import pytest
import trio
from tests.end_to_end.clients import QUEUED, SENT, Caller, Platform, said
from tests.end_to_end.daemon import BOUND, Daemon, command, environment, token, until
from tests.end_to_end.http_connection import Answer, get
from tests.end_to_end.provider import (
    DROID,
    PHONE,
    TABLET,
    VOIP,
    Provider,
    Pushed,
    apns,
    device,
    fcm,
    on,
    shown,
    text,
    waiting,
)
from tests.end_to_end.services import item

pytestmark = pytest.mark.end_to_end

FORM = "application/x-www-form-urlencoded"
GONE = (404, "Pnmediator returned unknown error: ERR:404 Not Found")
GONE_OF_MANY = (404, "Pnmediator returned an error: ERR:404 Not Found\n")
REFUSED = (500, "Not sent, try again later")
TOO_LARGE = (400, "Payload too large")

# The seed of the gateway, to the character.
SEED_SINGLE = b"""{"DeviceToken": "ValidToken", "Selector": "ValidSelector",\
 "AppId": "valid.appid", "verb": "NotifyGenericTextMessage", "Message": "Some message"}"""
SEED_OF_THREE = b"""[{"DeviceToken": "ValidToken1", "Selector": "ValidSelector1", "AppId":\
 "valid.appid", "verb": "NotifyGenericTextMessage", "Message": "some message"}, {"DeviceToken":\
 "ValidToken2", "Selector": "ValidSelector2", "AppId": "valid.appid", "verb":\
 "NotifyGenericTextMessage", "Message": "some other message"}, null]"""
SEED_SENT = b"""{"code": 200, "response": "Your message was sent."}"""
SEED_GONE = b"""{"code": 404, "response": "Pnmediator returned unknown error: ERR:404 Not Found"}"""
SEED_THREE_ANSWERS = b"""[{"code": 200, "response": "Your message was sent."}, {"code": 404,\
 "response": "Pnmediator returned an error: ERR:404 Not Found\\n"}, {"code": 400, "response":\
 "Bad object you sent here"}]"""


def without_status(answer: Answer) -> object:
    """What an answer says in the words of the seed, which knows no `status`."""
    assert answer.status == 200
    replies = answer.json()
    for one in replies if isinstance(replies, list) else [replies]:
        assert one.pop("status") == one["code"]
    return replies


async def test_the_examples_of_the_seed(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-1, PU-2, PU-6, PU-48, PU-92: each example is answered as it stands there, and a token
    that is gone is not asked for again."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(fcm("ValidToken2", 404, "UNREGISTERED"))
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)
        answer = await caller.post("/pnm2/send", SEED_SINGLE)
        assert without_status(answer) == json.loads(SEED_SENT)
        answer = await caller.post("/pnm2/multisend/", SEED_OF_THREE)
        assert without_status(answer) == json.loads(SEED_THREE_ANSWERS)
        answer = await caller.post("/pnm2/multisend", SEED_SINGLE)
        assert without_status(answer) == [json.loads(SEED_SENT)]
        dead = SEED_SINGLE.replace(b"ValidToken", b"ValidToken2")
        assert without_status(await caller.post("/pnm2/send/", dead)) == json.loads(SEED_GONE)
        assert await caller.multisend(None) == [(400, "Bad object you sent here")]
        answer = await caller.post("/pnm2/multisend", b"null")
        assert (answer.status, said(answer.json())) == (400, (400, "Bad Request"))
        sent = [orjson.loads(push.text)["message"] for push in await provider.pushes(4)]
    assert sorted(one["token"] for one in sent) == [
        *("ValidToken", "ValidToken", "ValidToken1", "ValidToken2")
    ]
    assert {one["notification"]["body"] for one in sent} == {
        *("Some message", "some message", "some other message")
    }


async def test_requests_as_they_have_always_come(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-7, PU-10, PU-92: forms and JSON without Selector, with and without Badge, with `+` in a
    token, with attributes nobody knows and a charset."""
    provider = await Provider.start(nursery, tmp_path)
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)
        for badge in ("3", 4, None):
            push = shown("a", Badge=badge, Whatever={"more": 1}, verb="NotifyTextMessage")
            answer = await caller.post(
                "/pnm2/send", orjson.dumps(push), "application/json; charset=utf-8"
            )
            assert said(answer.json()) == SENT
        assert await caller.send(text("a+b:c", DROID)) == SENT
        old = {"UserName": "bob", "Password": "a password of old"}
        form = urlencode(shown("b", Badge="5", verb="NotifyTextMessage", **old)).encode()
        assert said((await caller.post("/pnm2", form, FORM)).json()) == SENT
        form = urlencode(text("a+b:c", DROID)).encode()
        assert said((await caller.post("/pnm2/", form, FORM)).json()) == SENT
        answer = await caller.post("/pnm2", form.replace(b"%2B", b"+"), FORM)
        assert said(answer.json()) == (400, "Malformed DeviceToken")
        answer = await caller.post("/pnm2", b"verb=NotifyGenericTextMessage", FORM)
        assert (answer.status, said(answer.json())) == (400, (400, "Missing attribute: AppId"))
        pushes = await provider.pushes(6)
    apple = [push for push in pushes if "apns-id" in push.headers]
    assert [push.body["aps"].get("badge") for push in apple] == [3, 4, None, 5]
    assert [push.body["message"]["token"] for push in pushes if push not in apple] == ["a+b:c"] * 2
    assert not any("password" in push.text or "Whatever" in push.text for push in pushes)
    assert "a password of old" not in daemon.log


async def test_what_apple_answers(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-3, PU-14, PU-15, PU-54, PU-55, A.4: each word of Apple's becomes the one reply that it is
    to be, in the order of the list, from each endpoint."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(
        apns("gone", 410, "Unregistered"),
        apns("old", 410, "ExpiredToken"),
        apns("bad", 400, "BadDeviceToken"),
        apns("foreign", 400, "DeviceTokenNotForTopic"),
        apns("topic", 400, "TopicDisallowed"),
        apns("new", 400, "NobodyKnowsThis"),
        apns("large", 413, "PayloadTooLarge"),
        apns("busy", 429, "TooManyRequests", times=1),
        apns("down", 500, "InternalServerError"),
        on("lost", do="reset", times=1),
        on("reset", do="reset", times=1),
    )
    settings = provider.settings()
    settings[f'push.apps."{PHONE}".unknown_outcome.NotifyReprovision'] = "fail"
    async with Daemon(tmp_path, settings) as daemon:
        caller = Caller(daemon)
        assert await caller.send(shown("proof")) == SENT
        expected = {
            "good": SENT,
            "gone": GONE_OF_MANY,
            "old": GONE_OF_MANY,
            "bad": GONE_OF_MANY,
            "foreign": GONE_OF_MANY,
            "topic": REFUSED,
            "new": REFUSED,
            "large": TOO_LARGE,
            "busy": SENT,
            "reset": SENT,
        }
        lost = {**shown("lost"), "verb": "NotifyReprovision", "Selector": "s"}
        expired = shown("down", Ttl=2)
        *replies, of_lost, of_expired = await caller.multisend(*map(shown, expected), lost, expired)
        assert dict(zip(expected, replies, strict=True)) == expected
        assert (of_lost, of_expired) == (REFUSED, REFUSED)
        assert await caller.send(shown("gone")) == GONE
        answer = await caller.post("/pnm2", urlencode(shown("old")).encode(), FORM)
        assert said(answer.json()) == GONE
        for name, code in (("multisend", "404"), ("send", "404"), ("form", "404")):
            assert await daemon.metric(
                "tocsin_push_gateway_replies_total", endpoint=name, code=code
            )
        pushes = await provider.pushes()
    assert len({push.id for push in pushes if push.is_for("reset")}) == 1
    assert [times(pushes, name) for name in ("gone", "lost", "reset", "busy", "large")] == [
        *(1, 1, 2, 2, 2)
    ]
    assert device("gone") not in daemon.log


def times(pushes: list[Pushed], name: str) -> int:
    """How often a device was pushed to."""
    return sum(push.is_for(name) for push in pushes)


async def test_what_google_answers(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-3, PU-14, A.4, C.4: the same of Google's words."""
    provider = await Provider.start(nursery, tmp_path)
    violation = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "message.data", "description": "no"}],
    }
    quota = {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"subject": "device: abc", "description": "too many"}],
    }
    await provider.follow(
        fcm("gone", 404, "UNREGISTERED"),
        fcm("foreign", 403, "SENDER_ID_MISMATCH"),
        fcm("bad", 400, "INVALID_ARGUMENT"),
        fcm("wrong", 400, "INVALID_ARGUMENT", violation),
        fcm("busy", 429, "QUOTA_EXCEEDED", quota, times=1),
    )
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)
        assert await caller.send(text("proof", DROID)) == SENT
        expected = {
            "good": SENT,
            "gone": GONE_OF_MANY,
            "foreign": GONE_OF_MANY,
            "bad": GONE_OF_MANY,
            "wrong": REFUSED,
            "busy": SENT,
        }
        replies = await caller.multisend(*(text(name, DROID) for name in expected))
        assert dict(zip(expected, replies, strict=True)) == expected
        pushes = await provider.pushes()
    assert len(provider.tokens.requests) == 1
    assert {push.headers["authorization"] for push in pushes} == {"Bearer granted"}


async def test_an_app_that_was_never_good_loses_no_tokens(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """PU-49: what may be our mistake is refused until the app has had one success, then it is
    believed, after a restart as well."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(apns("bad", 400, "BadDeviceToken"))
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)
        assert await caller.send(shown("bad")) == REFUSED
        assert await caller.send(shown("good")) == SENT
        daemon.terminate()
        assert await daemon.exit_status() == 0
        await daemon.start()
        assert await caller.send(shown("bad")) == GONE


async def test_repeats(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-14, PU-18, PU-19: an Id is pushed once, within a list and over a SIGKILL; another verb and
    what was refused are. A repeat is told what became of the first."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(apns("refused", 400, "BadTopic", times=1), on("slow", do="hold", times=1))
    settings = provider.settings() | {f'push.apps."{TABLET}".ack': "durable"}
    async with Daemon(tmp_path, settings) as daemon:
        caller = Caller(daemon)
        once, refused = shown("once", Id="i"), shown("refused", Id=7)
        slow = shown("slow", app=TABLET, Id="i")
        assert await caller.multisend(once, once) == [SENT, SENT]
        assert await caller.send(refused) == REFUSED
        assert await caller.send(slow) == QUEUED
        await provider.pushes(3)
        await until(lambda: waiting(daemon, 1), "all but one are settled")
        await daemon.kill()
        await daemon.start()
        assert await caller.send(once) == SENT
        assert await caller.send(once | {"verb": "NotifyTextMessage"}) == SENT
        assert await caller.send(refused) == SENT
        await until(lambda: waiting(daemon, 0), "all is settled")
        assert await caller.send(slow) == SENT
        pushes = await provider.pushes()
    assert [times(pushes, name) for name in ("once", "refused", "slow")] == [2, 2, 2]
    assert len({push.id for push in pushes if push.is_for("slow")}) == 1


async def test_who_may_push(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-5, PU-9: loopback needs no token, but a page in a browser and whoever comes through a
    proxy does; one that is there is always checked. Each refusal is a reply object."""
    provider = await Provider.start(nursery, tmp_path)
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)

        async def ask(**headers: str) -> tuple[int, tuple[int, str]]:
            body = orjson.dumps(shown("a"))
            answer = await caller.post("/pnm2/send", body, **headers)
            assert answer.status == 200 or "www-authenticate" in answer.headers
            return answer.status, said(answer.json())

        refused = (400, "Not authorized")
        good = f"Bearer {token('platform', 'push')}"
        assert await ask() == (200, SENT)
        assert await ask(Authorization=good) == (200, SENT)
        assert await ask(Authorization=good, Origin="https://page.example") == (200, SENT)
        assert await ask(Origin="https://page.example") == (401, refused)
        assert await ask(**{"X-Forwarded-For": "127.0.0.1"}) == (401, refused)
        assert await ask(Authorization="Bearer wrong") == (401, refused)
        publisher = f"Bearer {token('platform', 'publish')}"
        assert await ask(Authorization=publisher) == (403, refused)
        assert len(await provider.pushes()) == 3


async def test_the_command(tmp_path: Path, nursery: trio.Nursery) -> None:
    """OP-3: `tocsin push` shows the reply and exits 0 only when the push was taken."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(apns("gone", 410, "Unregistered"))
    async with Daemon(tmp_path, provider.settings()) as daemon:

        async def push(name: str) -> tuple[int, dict[str, object]]:
            with trio.fail_after(BOUND):
                ended = await trio.run_process(
                    command("push", PHONE, device(name), "--message", "hello", "--json"),
                    capture_stdout=True,
                    check=False,
                    env={**environment(), "TOCSIN_URL": f"http://{daemon.public}"},
                )
            return ended.returncode, orjson.loads(ended.stdout)

        status, reply = await push("good")
        assert (status, said(reply)) == (0, SENT)
        status, reply = await push("gone")
        assert (status, said(reply)) == (1, GONE)
        [good, _] = await provider.pushes(2)
    assert good.body["aps"]["alert"] == {"body": "hello"}


async def test_what_was_reported_is_pushed_to(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-21, PU-24 to PU-26: after a report, calls of the account ring by one token and messages
    are shown by the other; a newer report takes their place, a removal ends it. The secret and the
    tokens are in no log."""
    provider = await Provider.start(nursery, tmp_path)
    report = "push.reporters.main"
    settings = provider.settings() | {
        f"{report}.secret": "a secret of all phones",
        f"{report}.subscribe": ["sms", "call"],
    }
    async with Daemon(tmp_path, settings) as daemon:
        platform = Platform(daemon)

        async def tell(path: str = "main", **fields: str) -> Answer:
            known = {
                "username": "alice@example.com",
                "selector": "a1",
                "key": "a secret of all phones",
            }
            query = urlencode(known | fields).replace("+", "%20")
            return await get(daemon.public, f"/push/report/{path}?{query}")

        calls = {"pushTokenIncomingCall": device("ringer"), "pushappid_incoming_call": VOIP}
        other = {"pushTokenOther": device("first"), "pushappid_other": PHONE}
        assert (await tell(**calls, **other, key="wrong")).status == 401
        for _ in range(2):
            answer = await tell(**calls, **other)
            assert (answer.status, answer.body) == (200, b"")
        await platform.publish(*events("alice@example.com"))
        pushes = await provider.pushes(2)
        assert sorted(map(address, pushes)) == sorted(
            [(device("ringer"), VOIP, "voip"), (device("first"), PHONE, "alert")]
        )

        other["pushTokenOther"] = device("second")
        assert (await tell(**other)).status == 200
        await platform.publish(events("alice@example.com")[1])
        assert address((await provider.pushes(3))[2]) == (device("second"), PHONE, "alert")

        body = b"username=alice%40example.com&selector=a1&key=a%20secret%20of%20all%20phones"
        for _ in range(2):
            removed = await Caller(daemon).post("/push/report/main/remove", body, FORM)
            assert (removed.status, removed.body) == (200, b"")
        answer = await platform.post(events("alice@example.com"))
        assert [one["channels"] for one in answer.json()] == [0, 0]
    for secret in ("a secret of all phones", "a%20secret", device("ringer"), device("second")):
        assert secret not in daemon.log


def events(user: str) -> list[dict[str, object]]:
    """A call and a message."""
    return [
        item(user, "call", {"wrtcsSessionInvitationNotification": {"originatorName": "Bob"}}),
        item(
            user, "sms", {"inboundSMSMessageNotification": {"inboundSMSMessage": {"message": "m"}}}
        ),
    ]


def address(push: Pushed) -> tuple[str, str, str]:
    """Device, topic and type of a push."""
    name = push.headers[":path"].rpartition("/")[2]
    return name, push.headers["apns-topic"], push.headers["apns-push-type"]
