"""Subscriptions over HTTP: every resource from POST to DELETE, and what goes through each."""

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import CHANNELS, CHAT, INBOUND, PUBLISH, RECEIPTS, USER, daemon, token
from tests.fakes.fault import Fault
from tests.fakes.notification_socket import connected
from tests.fakes.subscriptions import (
    BASE,
    CALL,
    ENVELOPES,
    PRESENCE,
    PRESENCE_LISTS,
    ask_for,
    bearer,
    listed,
    open_for,
    refused,
    strict,
    subscribe,
)

STRICT = {"public_base_url": BASE}
URL = "callbackReference.notifyURL"


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("path", ENVELOPES)
async def test_from_post_to_delete(tmp_path: Path, path: str, is_strict: bool) -> None:
    """POST echoes the request plus resourceURL, of presence also presenceListId; GET, list and
    DELETE know it, then 404; in either dialect (CH-1, CH-90, T3, T4)."""
    at, base = (strict(path), BASE) if is_strict else (path, "")
    async with daemon(tmp_path, **STRICT) as running:
        channel = await open_for(running, path)
        members = {
            "callbackReference": {
                "notifyURL": channel["callbackURL"],
                "callbackData": "d",
                "notificationFormat": "JSON",
            },
            "clientCorrelator": "acc-1",
            "filterCriteria": "f",
            "duration": 86400,
            "x-deliveryPolicy": "all",
            "unknown": {"x": [1.5, None]},
        }
        answer = await running.post(at, {ENVELOPES[path]: members}, bearer=bearer())
        assert answer.status == 201
        resource = answer.headers["location"]
        assert resource.startswith(f"{base}{at}/")
        assert "/subscriptions/" in resource
        added = {"presenceListId": "L1"} if path == PRESENCE else {}
        made = {**members, **added, "resourceURL": resource}
        assert answer.json == {ENVELOPES[path]: made}
        one = resource.removeprefix(base)
        assert (await running.get(one, bearer=bearer())).body == answer.body
        assert await listed(running, path, at=at, base=base) == [made]
        assert (await running.delete(one, bearer=bearer())).status == 204
        for method in ("GET", "DELETE"):
            gone = await running.ask(method, one, bearer=bearer())
            assert gone.refusal == (404, "SVC0004", ["subscriptionId"])
        assert await listed(running, path, at=at, base=base) == []


@pytest.mark.parametrize("path", ENVELOPES)
async def test_made_in_one_dialect_and_read_in_the_other(tmp_path: Path, path: str) -> None:
    """The path of a request chooses the form of its answer, the same subscription given again
    included (CH-1, CH-92)."""
    async with daemon(tmp_path, **STRICT) as running:
        channel = await open_for(running, path)
        for at, base, other, others in (
            (path, "", strict(path), BASE),
            (strict(path), BASE, path, ""),
        ):
            made = await subscribe(running, path, channel, at=at)
            there = made["resourceURL"].removeprefix(base + at)
            seen = {**made, "resourceURL": f"{others}{other}{there}"}
            answer = await running.get(other + there, bearer=bearer())
            assert answer.json == {ENVELOPES[path]: seen}
            assert await listed(running, path, at=other, base=others) == [seen]
            assert await subscribe(running, path, channel, at=other) == seen


async def test_the_strict_dialect_is_off_by_default(tmp_path: Path) -> None:
    """Without `public_base_url` its paths are unknown (CH-1, CH-8)."""
    async with daemon(tmp_path) as running:
        for path in ENVELOPES:
            answer = await running.get(strict(path), bearer=bearer())
            assert answer.refusal == (404, "SVC0001", ["unknown_path"])


async def test_what_we_add_is_ours(tmp_path: Path) -> None:
    """A resourceURL or presenceListId in the request counts for nothing where we give one, and
    is echoed like any other member where we do not (CH-4, CH-90)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        sent = {"resourceURL": "https://evil", "presenceListId": "L9"}
        made = await subscribe(running, PRESENCE, channel, **sent)
        assert made["presenceListId"] == "L1"
        made = await subscribe(running, CHAT, channel, **sent)
        assert made["presenceListId"] == "L9"


async def test_kinds_do_not_see_each_other(tmp_path: Path) -> None:
    """A subscription is found under its own path only, sender, list and project included
    (CH-90)."""
    async with daemon(tmp_path) as running:
        ids = {}
        for path in ENVELOPES:
            made = await subscribe(running, path, await open_for(running, path))
            ids[path] = made["resourceURL"].rpartition("/")[2]
        other_list = PRESENCE.replace("L1", "L2")
        for path in (*ENVELOPES, RECEIPTS.replace("+1613", "+1614"), other_list):
            for home, id_ in ids.items():
                answer = await running.get(f"{path}/{id_}", bearer=bearer())
                assert answer.status == (200 if path == home else 404)
        encoded = RECEIPTS.replace("+", "%2B")
        assert (await running.get(f"{encoded}/{ids[RECEIPTS]}")).status == 200
        for path in (CHAT, CALL, PRESENCE):
            bobs = path.replace(USER, "bob")
            assert (await running.get(f"{bobs}/{ids[path]}", bearer=token("bob"))).status == 404


async def test_all_lists_of_presence(tmp_path: Path) -> None:
    """GET above the lists has the subscriptions of all of them, each with its list (section 10);
    there is nothing else to do there (CH-8)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        paths = [PRESENCE, PRESENCE.replace("L1", "L2"), PRESENCE.replace("L1", "a%2Fb")]
        made = [await subscribe(running, PRESENCE, channel, at=path) for path in paths]
        await subscribe(running, CHAT, channel)
        assert [one["presenceListId"] for one in made] == ["L1", "L2", "a/b"]
        found = await listed(running, PRESENCE_LISTS)
        assert sorted(found, key=lambda one: one["presenceListId"]) == made
        for path, one in zip(paths, made, strict=True):
            assert one["resourceURL"].startswith(f"{path}/")
            assert await listed(running, PRESENCE, at=path) == [one]
        refusal = await running.post(PRESENCE_LISTS, {})
        assert refusal.refusal == (405, "SVC0001", ["method"])
        assert refusal.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "spelling",
    [
        *("{}", "/channels/{}", "https://x/a/channels/{}/callback", "/channels/{}?a=b"),
        *(CHANNELS + "/{}", "https://x/notificationchannel/v1/zz/channels/{}#f", "U{}"),
    ],
)
async def test_notify_url(tmp_path: Path, spelling: str) -> None:
    """A channel id, or any URL or path with `/channels/{id}` in it, names the channel (CH-91)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(correlator="from-channel")
        url = spelling.format(channel["callbackURL"])
        answer = await ask_for(running, INBOUND, {"callbackURL": url})
        if spelling.startswith("U"):
            assert answer.refusal == (400, "SVC0002", [URL])
        else:
            assert answer.json["subscription"]["clientCorrelator"] == "from-channel"
            assert answer.json["subscription"]["callbackReference"]["notifyURL"] == url


async def test_a_call_may_leave_the_channel_to_us(tmp_path: Path) -> None:
    """Its newest socket is taken and named; the same again is the same; none is an error
    (CH-91, CH-92)."""
    async with daemon(tmp_path) as running:
        asked = {ENVELOPES[CALL]: {"clientCorrelator": "tab"}}
        assert (await running.post(CALL, asked)).refusal == (400, "SVC0002", [URL])
        await running.open_webhook(correlator="tab")
        assert (await running.post(CALL, asked)).refusal == (400, "SVC0002", [URL])
        await running.open_channel()
        newest = await running.open_channel()
        await running.open_channel(correlator="other tab")
        answer = await running.post(CALL, asked)
        assert answer.status == 201
        made = answer.json[ENVELOPES[CALL]]
        assert made["callbackReference"] == {"notifyURL": newest["callbackURL"]}
        assert await subscribe(running, CALL, newest) == made
        await running.delete(newest["resourceURL"])
        answer = await running.post(CALL, asked)
        reference = answer.json[ENVELOPES[CALL]]["callbackReference"]
        assert reference["notifyURL"] != newest["callbackURL"]


async def test_the_newest_is_the_youngest(tmp_path: Path) -> None:
    """Not the one that came into memory last: an older one whose removal the store refused is
    still the older (CH-91)."""
    async with daemon(tmp_path) as running:
        older, newest = await running.open_channel(), await running.open_channel()
        fault = Fault(tmp_path / "tocsin.db")
        fault.begin("channel")
        assert (await running.delete(older["resourceURL"])).status == 503
        fault.end()
        fault.close()
        answer = await running.post(CALL, {ENVELOPES[CALL]: {"clientCorrelator": "tab"}})
        reference = answer.json[ENVELOPES[CALL]]["callbackReference"]
        assert reference["notifyURL"] == newest["callbackURL"]


async def test_calls_are_listed_by_correlator(tmp_path: Path) -> None:
    """`?clientCorrelator=`, exact, for call alone (section 10, CH-3)."""
    async with daemon(tmp_path) as running:
        for name in ("a+1", "b"):
            channel = await running.open_channel(correlator=name)
            for path in (CALL, CHAT):
                await subscribe(running, path, channel)
        for query, correlators in (
            ("", ["a+1", "b"]),
            ("?clientCorrelator=a+1", ["a+1"]),
            ("?clientCorrelator=a%2B1", ["a+1"]),
            ("?clientCorrelator=A+1", []),
            ("?clientCorrelator=", []),
        ):
            found = await listed(running, CALL, query=query)
            assert sorted(one["clientCorrelator"] for one in found) == correlators
            assert len(await listed(running, CHAT, query=query)) == 2


@pytest.mark.parametrize("path", ENVELOPES)
async def test_what_is_refused(tmp_path: Path, path: str) -> None:
    """Each bad member is told as section 13 has it, and nothing is stored (CH-91, CH-121)."""
    async with daemon(tmp_path) as running:
        channel = await open_for(running, path)
        before = await running.stored()
        for wanted, message_id, variables in refused(channel["callbackURL"], path):
            answer = await running.post(path, wanted, bearer=bearer())
            assert answer.refusal == (400, message_id, variables), wanted
        for body, status, code in (
            (b"", 400, "body"),
            (b"{", 400, "body"),
            (b'{"a":1,"a":1}', 400, "body"),
        ):
            answer = await running.post(path, body, bearer=bearer())
            assert answer.refusal == (status, "SVC0002", [code])
        xml = [("Content-Type", "text/xml")]
        answer = await running.post(path, b"{}", bearer=bearer(), headers=xml)
        assert answer.refusal == (415, "SVC0001", ["media_type"])
        assert await running.stored() == before
        assert await listed(running, path) == []


async def test_channels_of_others_and_of_the_past(tmp_path: Path) -> None:
    """Another user's channel and a deleted one are not to be pointed at (CH-91)."""
    async with daemon(tmp_path) as running:
        wanted = {"notificationChannel": {"channelType": "websockets", "clientCorrelator": "c"}}
        bobs = CHANNELS.replace(USER, "bob")
        bob = (await running.post(bobs, wanted, bearer=token("bob"))).json["notificationChannel"]
        gone = await running.open_channel()
        await running.delete(gone["resourceURL"])
        before = await running.stored()
        for path in ENVELOPES:
            for channel in (bob, gone):
                answer = await ask_for(running, path, channel)
                assert answer.refusal == (400, "SVC0002", [URL])
        assert await running.stored() == before


async def test_quota(tmp_path: Path) -> None:
    """The subscription beyond the quota is refused; the same one again is not (section 15)."""
    async with daemon(tmp_path, limits={"subscriptions_per_user": 2}) as running:
        channel = await running.open_channel()
        first = await subscribe(running, INBOUND, channel)
        await subscribe(running, CHAT, channel)
        before = await running.stored()
        for path in (RECEIPTS, CALL, PRESENCE):
            answer = await ask_for(running, path, channel)
            assert answer.refusal == (403, "POL0001", ["quota_subscriptions"])
        assert await running.stored() == before
        assert await subscribe(running, INBOUND, channel) == first


async def test_the_same_again(tmp_path: Path) -> None:
    """Same service, channel and filter answer 201 with the existing subscription (CH-92)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        first = await subscribe(running, INBOUND, channel, destinationAddress="+1613")
        again = await subscribe(running, INBOUND, channel, destinationAddress="tel:+1613")
        assert again == first
        other = await subscribe(running, INBOUND, channel, destinationAddress="+1614")
        assert other["resourceURL"] != first["resourceURL"]
        elsewhere = await running.open_channel(correlator="elsewhere")
        assert (await subscribe(running, INBOUND, elsewhere))["resourceURL"]
        assert len(await listed(running, INBOUND)) == 3


async def test_integers_are_echoed_exactly(tmp_path: Path) -> None:
    """Members beyond 64 bits come back as they were sent, whatever they are (CH-90, SE-6)."""
    async with daemon(tmp_path) as running:
        hook = await running.open_webhook()
        for path in (CHAT, CALL):
            made = await subscribe(running, path, hook, duration=10**30, unknown=2**64)
            assert (made["duration"], made["unknown"]) == (10**30, 2**64)
            assert await listed(running, path) == [made]
        assert await listed(running, CALL, query="?clientCorrelator=tab") == [made]


def inbound(id_: str, **members: Any) -> dict[str, Any]:
    message = {"message": "hi", "senderAddress": "+1", **members.pop("message", {})}
    notification = {"inboundSMSMessageNotification": {"inboundSMSMessage": message}}
    return {"user": USER, "service": "sms", "id": id_, "notification": notification, **members}


def receipt(id_: str, **members: Any) -> dict[str, Any]:
    notification = {"deliveryInfoNotification": {"deliveryInfo": {"address": "+1613"}}}
    return {"user": USER, "service": "sms", "id": id_, "notification": notification, **members}


async def test_what_an_sms_subscription_lets_through(tmp_path: Path) -> None:
    """Inbound ones get every sms that fits the filter or has no address, receipt ones only
    receipts, and a channel gets each once, however many match (CH-92, CH-94)."""
    async with daemon(tmp_path) as running:
        all_, filtered, receipts = [await running.open_channel() for _ in range(3)]
        await subscribe(running, INBOUND, all_)
        await subscribe(running, INBOUND, all_, destinationAddress="+7")
        await subscribe(running, RECEIPTS, all_)
        await subscribe(running, INBOUND, filtered, destinationAddress="tel:+7")
        await subscribe(running, RECEIPTS, receipts)
        items = [
            inbound("none"),
            inbound("seven", message={"destinationAddress": "+7"}),
            inbound("tel", message={"destinationAddress": "tel:+7"}),
            inbound("eight", message={"destinationAddress": "+8"}),
            inbound("named", message={"destinationAddress": "+8"}, destination_address="+7"),
            receipt("receipt"),
            receipt("other-receipt", destination_address="+8"),
        ]
        async with (
            connected(running, all_) as one,
            connected(running, filtered) as two,
            connected(running, receipts) as three,
        ):
            answer = await running.post(PUBLISH, items, scope="publish")
            assert [item["channels"] for item in answer.json] == [2, 2, 2, 1, 2, 3, 2]
            assert await one.ids(7) == [item["id"] for item in items]
            assert await two.ids(5) == ["none", "seven", "tel", "named", "receipt"]
            assert await three.ids(2) == ["receipt", "other-receipt"]


async def test_services_do_not_mix(tmp_path: Path) -> None:
    """A chat message does not go to an sms subscription."""
    async with daemon(tmp_path) as running:
        await subscribe(running, INBOUND, await running.open_channel())
        assert [one["status"] for one in await running.publish("a")] == ["no_channel"]


async def test_presence_for_any_list(tmp_path: Path) -> None:
    """The list is not evaluated, and a channel gets each once (CH-92, CH-95)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        for path in (PRESENCE, PRESENCE.replace("L1", "L2")):
            await subscribe(running, PRESENCE, channel, at=path)
        body = {"presentityUserId": "bob", "id": "p"}
        item = {"user": USER, "service": "presence", "notification": {"presenceNotification": body}}
        async with connected(running, channel) as client:
            answer = await running.post(PUBLISH, item, scope="publish")
            assert answer.json["channels"] == 1
            assert await client.ids(1) == ["p"]


async def test_after_a_restart(tmp_path: Path) -> None:
    """Subscriptions answered 201 are there after the process was cut off (CH-22)."""
    async with daemon(tmp_path) as running:
        made = {}
        for path in ENVELOPES:
            made[path] = await subscribe(running, path, await open_for(running, path))
        await running.delete(made[INBOUND]["resourceURL"])
    async with daemon(tmp_path) as running:
        assert await listed(running, INBOUND) == []
        for path in list(ENVELOPES)[1:]:
            assert await listed(running, path) == [made[path]]
        assert [one["channels"] for one in await running.publish("a")] == [1]
