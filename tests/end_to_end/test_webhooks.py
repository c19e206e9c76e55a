"""Receivers that are slow, broken, gone or silent (channels.md, section 9)."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, text_of
from tests.end_to_end.daemon import Daemon, until
from tests.fakes import receiver

pytestmark = pytest.mark.end_to_end

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
QUICK = {"delivery.webhook_retries": [0.05] * 20}


def texts(hook: receiver.Receiver) -> list[str]:
    """What a receiver was sent, attempt by attempt."""
    return [text_of(request.body) for request in hook.requests]


async def test_a_hanging_receiver_delays_nobody(tmp_path: Path, nursery: trio.Nursery) -> None:
    """delivery.md (isolation): with 500 deliveries behind a receiver that never answers, a healthy
    one gets all of its own before a single attempt at the other has ended."""
    hanging = await receiver.start(nursery, answers=[receiver.silence] * 1000)
    healthy = await receiver.start(nursery)
    async with Daemon(tmp_path, {"webhooks.total_timeout": 30}) as daemon:
        user, other = User(daemon, "alice"), User(daemon, "bob")
        await user.webhook_channel(hanging.port)
        await other.webhook_channel(healthy.port)
        platform = Platform(daemon)
        await platform.publish(*(chat("alice", "stuck", order_key=str(n)) for n in range(500)))
        await until(lambda: hanging.requests, "the lane is stuck")
        expected = [str(number) for number in range(200)]
        await platform.publish(*(chat("bob", text, order_key=text) for text in expected))
        await until(lambda: len(healthy.requests) == 200, "the healthy receiver gets its own")
        assert sorted(texts(healthy)) == sorted(expected)
        assert await attempts(daemon, "deferred") == 0
        assert await daemon.metric("tocsin_queue_depth", type="Webhooks") >= 500
        assert len(hanging.requests) < 500


async def test_a_failure_is_retried_in_order_with_a_fresh_signature(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """CH-82, CH-83, SE-9: 500, 404 and a cut connection are tried again with the same id and body
    and a valid signature; what has the same order key waits, what has another does not."""
    failures = [receiver.reply(500), receiver.reply(404), receiver.hang_up]
    hook = await receiver.start(nursery, answers=failures)
    async with Daemon(tmp_path, QUICK) as daemon:
        user = User(daemon, "alice")
        await user.webhook_channel(hook.port, **{"x-webhookSecret": SECRET})
        platform = Platform(daemon)
        await platform.publish(*(chat("alice", text, order_key="k") for text in "abc"))
        await until(lambda: len(hook.requests) >= 6, "all has been delivered")
        await until(lambda: nothing_waits(daemon), "all is settled")
    assert texts(hook) == ["a", "a", "a", "a", "b", "c"]
    assert len({request.body for request in hook.requests[:4]}) == 1
    assert len({request.headers["webhook-id"] for request in hook.requests[:4]}) == 1
    for request in hook.requests:
        stamp = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
        digest = hmac.new(KEY, stamp.encode() + request.body, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(digest).decode()}"
        assert request.headers["webhook-signature"] == expected


async def test_gone_suspends_until_the_channel_is_posted_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """CH-80, CH-83: after 410 nothing is attempted, across a restart too; the same POST answers
    with the same channel, and what waited arrives in order."""
    gone = await receiver.start(nursery, answers=[receiver.reply(410)])
    witness = await receiver.start(nursery)
    async with Daemon(tmp_path, QUICK) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.webhook_channel(gone.port)
        await user.webhook_channel(witness.port)
        await platform.publish(chat("alice", "first"))
        await until(lambda: has_settled(daemon, 1), "the 410 is known")
        await platform.publish(chat("alice", "second"))
        await until(lambda: len(witness.requests) == 2, "the other webhook gets the second")
        await until(lambda: so_many_wait(daemon, 2), "only those of the first wait")
        await daemon.kill()
        await daemon.start()
        await platform.publish(chat("alice", "third"))
        await until(lambda: len(witness.requests) == 3, "the other webhook gets the third")
        assert texts(gone) == ["first"]

        again = await user.open_channel(
            "Webhooks", channelData={"x-webhookURL": f"http://127.0.0.1:{gone.port}/hook"}
        )
        await until(lambda: len(gone.requests) == 4, "what waited arrives")
    assert again == channel
    assert texts(gone) == ["first", "first", "second", "third"]


async def test_three_times_unanswered_is_a_dead_letter(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """CH-83: a receiver that reads and never answers gets a notification three times, then it is a
    dead letter, and the next one of its order key goes on."""
    hook = await receiver.start(nursery, answers=[receiver.silence] * 3)
    async with Daemon(tmp_path, {**QUICK, "webhooks.total_timeout": 3}) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        await user.webhook_channel(hook.port)
        await platform.publish(chat("alice", "dies", id="d1"), chat("alice", "lives"))
        await until(lambda: nothing_waits(daemon), "both have ended")
        await until(lambda: has_buried(daemon, 1), "one is shown as a dead letter")
        assert '"event":"delivery.dead","notification_id":"d1"' in daemon.log
    assert texts(hook) == ["dies", "dies", "dies", "lives"]


async def test_an_urgent_one_is_tried_until_its_deadline(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """delivery.md (expiry, order): a notification whose receiver fails until its deadline is not
    delivered late, and what waited behind it goes on."""

    async def fail(stream: trio.abc.Stream, request: receiver.Received) -> bool:
        answer = receiver.reply(500) if text_of(request.body) == "expires" else receiver.ok
        return await answer(stream, request)

    hook = await receiver.start(nursery, answers=[fail] * 1000)
    async with Daemon(tmp_path, {"delivery.urgent_retries": [0.2] * 100}) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        await user.webhook_channel(hook.port)
        await platform.publish(
            chat("alice", "expires", order_key="k", priority="urgent", expires_in=1),
            chat("alice", "follows", order_key="k", priority="urgent"),
        )
        await until(lambda: nothing_waits(daemon), "both have ended")
        await until(lambda: has_buried(daemon, 1), "one is shown as a dead letter")
    assert texts(hook).count("follows") == 1
    assert texts(hook)[-1] == "follows"


async def attempts(daemon: Daemon, result: str) -> float:
    """How many attempts at webhooks had this result."""
    return await daemon.metric("tocsin_delivery_attempts_total", type="Webhooks", result=result)


async def has_settled(daemon: Daemon, count: int) -> bool:
    """Whether a 410 has been met and `count` other deliveries have been made."""
    return await attempts(daemon, "gone") == 1 and await attempts(daemon, "delivered") == count


async def nothing_waits(daemon: Daemon) -> bool:
    return await so_many_wait(daemon, 0)


async def has_buried(daemon: Daemon, count: int) -> bool:
    """Whether so many dead letters are shown; they are counted anew every few seconds."""
    return await daemon.metric("tocsin_dead_letters", type="Webhooks") == count


async def so_many_wait(daemon: Daemon, count: int) -> bool:
    """Whether so many deliveries are stored as not settled."""
    return await daemon.metric("tocsin_queue_depth", type="Webhooks") == count
