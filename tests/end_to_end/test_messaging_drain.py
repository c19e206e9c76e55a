"""A full backlog, and a daemon that is stopped (messaging.md, MS-69)."""

from contextlib import AsyncExitStack, suppress
from itertools import compress
from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, chat
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.gossip import FAILURES
from tests.end_to_end.http_connection import http_connection
from tests.end_to_end.talkers import (
    Rest,
    core_user,
    device_of,
    direct,
    open_room,
    pass_of,
    send,
    talk,
    to_room,
)
from tests.fakes import receiver
from tests.fakes.messaging_client import TRANSPORTS, MessagingClient
from tests.fakes.messaging_wires import ABNORMAL, SocketWire

pytestmark = pytest.mark.end_to_end

RESTART = (1012, "Service restart")


async def test_a_full_backlog(tmp_path: Path, nursery: trio.Nursery) -> None:
    """MS-69, MS-17, MS-20: past the global backlog what is sent is acked `unavailable` with a time
    to come again, and has no effect, whoever it is for; receipts, lists, presence, histories,
    Rooms and `resume` work on. When there is room again, so does sending."""
    settings: dict[str, object] = {"limits.backlog": 5}
    settings["delivery.webhook_retries"] = [0.1] * 1000
    hook = await receiver.start(nursery)
    hook.on_request = lambda _: hook.answers.append(receiver.reply(503))
    settings["messaging.resume_hold"] = 0
    async with (
        Daemon(tmp_path, settings) as daemon,
        talk(daemon, "alice") as alice,
        talk(daemon, "bob") as bob,
    ):
        first = await send(alice, direct("bob", "first"))
        await bob.until("direct-message")
        room = await open_room(alice, "room")
        await device_of(daemon, "carol").webhook_channel(hook.port)
        await Platform(daemon).publish(*(chat(core_user("carol"), "x") for _ in range(5)))
        for message in (direct("bob", "no"), direct("carol", "no"), to_room(room, "no")):
            refused = await alice.ask(message | {"dedupe-id": "again"})
            assert (refused.error, refused.messages) == ("unavailable", [])
            assert refused.ack is not None
            assert refused.ack["error"]["retry-after"] >= 1
        read = {"type": "delivery", "message-id": first, "status": "read"}
        assert (await bob.ask(read)).is_ok
        await alice.until("delivery", status="read")
        asked = (
            {"type": "list-channels"},
            {"type": "announce", "availability": "available"},
            {"type": "create-channel", "name": "another"},
            {"type": "list-subscribers", "subscriber-ids": ["alice"]},
        )
        assert [(await bob.ask(one)).is_ok for one in asked] == [True] * len(asked)
        history = await bob.ask({"type": "history", "subscriber-id": "alice"})
        assert [one["content"] for one in history.one["messages"]] == ["first"]
        assert (await bob.resume("")).messages[-1]["complete"]
        hook.on_request = lambda _: None

        async def is_sent() -> bool:
            return (await alice.ask(direct("bob", "later", dedupe_id="again"))).is_ok

        await until(is_sent, "there is room again")
        assert (await bob.until("direct-message"))[-1]["content"] == "later"


async def test_everybody_is_told(tmp_path: Path) -> None:
    """MS-69, OP-12: at a drain connections of every transport are closed 1012, one after the other
    over the window, and sockets whose turn has not come are served on; nobody new is let in, and
    over a connection that was there before that is answered 503; the exit is 0. After the restart
    all of it is there."""
    slow = {
        "drain.window": 8,
        "messaging.resume_hold": 0,
        "messaging.sockjs.prove_within": 0,
        "messaging.sockjs.heartbeat_delay": 300,
    }
    async with Daemon(tmp_path, slow) as daemon:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(talk(daemon, f"s{n}", transport=transport))
                for n, transport in enumerate(reversed(TRANSPORTS * 3))
            ]
            kept = await stack.enter_async_context(http_connection(daemon.public))
            target = f"/messaging/0/late/xhr?access_token={pass_of('late')}"
            served: list[str] = []
            # Who polls again only now finds the door shut.
            await until(lambda: all(one.wire.is_receiving for one in clients), "all of them listen")
            daemon.terminate()
            await until(lambda: any(one.closing for one in clients), "the first is closed")
            answer = await kept.request("POST", target)
            assert (answer.status, "retry-after" in answer.headers) == (503, True)
            for client in clients:
                if client.closing is None and isinstance(client.wire, SocketWire):
                    with suppress(*FAILURES):  # its turn has come
                        reply = await client.ask(direct("sink", "still served"))
                        served += [one["message-id"] for one in reply.messages if reply.is_ok]
            assert [await one.ended() for one in clients] == [RESTART] * len(clients)
            assert await daemon.exit_status() == 0
        assert served
        await daemon.start()
        log = await Rest(daemon, pass_of("sink")).found("/log")
        assert {one["message-id"] for one in log["messages"]} >= {*served}


async def test_what_is_in_hand_is_finished(tmp_path: Path) -> None:
    """MS-69, MS-19, MS-21: stopped while everybody writes as fast as he can, each has the `ack` of
    every reply he was given before he is told to come back, and what was acked is kept."""
    fast = {
        "drain.window": 0.3,
        "messaging.limits.rate": 10_000,
        "messaging.limits.burst": 10_000,
        "messaging.limits.flood": 10_000,
    }
    acked: list[str] = []

    async def write(client: MessagingClient, name: str) -> None:
        while client.closing is None:
            try:
                reply = await client.begin(direct("sink", name))
            except FAILURES:
                break
            await reply.done.wait()
            if reply.ack is not None:
                acked.append(reply.one["message-id"])
            elif isinstance(client.wire, SocketWire):
                assert reply.messages == []

    async with Daemon(tmp_path, fast) as daemon:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(talk(daemon, f"w{n}", transport=transport))
                for n, transport in enumerate(TRANSPORTS * 2)
            ]
            async with trio.open_nursery() as writers:
                for number, client in enumerate(clients):
                    writers.start_soon(write, client, str(number))
                await until(lambda: len(acked) > 50, "they write")
                daemon.terminate()
                endings = [await one.ended() for one in clients]
            sockets = [isinstance(one.wire, SocketWire) for one in clients]
            assert set(compress(endings, sockets)) == {RESTART}
            assert set(endings) <= {RESTART, ABNORMAL}  # a poll may come too late
        assert await daemon.exit_status() == 0
        await daemon.start()
        async with talk(daemon, "sink") as sink:
            replayed = (await sink.resume("")).messages[:-1]
        assert {one["message-id"] for one in replayed} >= {*acked}
        assert "crashed" not in daemon.log
