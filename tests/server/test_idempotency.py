"""`Idempotency-Key` on the publish path: the first answer, once more (CH-114)."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from tests.fakes.bench import Bench, bench
from tests.fakes.daemon import PUBLISH, Answer, Daemon, chat, daemon, token

from tocsin.delivery.submissions import Remembered, Submission, Submissions
from tocsin.model.errors import RequestError
from tocsin.server.idempotency import answer_once
from tocsin.wire.request import Request

UNNAMED = {name: value for name, value in chat("").items() if name != "id"}
BODY: Any = [UNNAMED, {"user": "x"}, {**UNNAMED, "user": "nobody"}]


async def publish(running: Daemon, key: str, body: object = BODY, **more: Any) -> Answer:
    headers = [("Idempotency-Key", key)]
    return await running.post(PUBLISH, body, **{"scope": "publish", "headers": headers, **more})


async def pending(running: Daemon) -> int:
    return sum((await running.stored())[2].values())


async def test_the_first_answer_again(tmp_path: Path) -> None:
    """Byte for byte, fresh ids and rejected items included, also after a restart; nothing is
    stored again (CH-114)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        first = await publish(running, "k1")
        assert "idempotency-replayed" not in first.headers
        assert [one["status"] for one in first.json] == ["accepted", "rejected", "no_channel"]
        again = await publish(running, "k1")
        assert (again.status, again.body) == (202, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        assert await pending(running) == 1
    async with daemon(tmp_path) as running:
        again = await publish(running, "k1")
        assert (again.status, again.body) == (202, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        assert await pending(running) == 1


@pytest.mark.parametrize("body", [[], [{}], UNNAMED, {**UNNAMED, "user": "nobody"}])
async def test_any_answer_2xx_is_remembered(tmp_path: Path, body: object) -> None:
    """Also where nothing was stored: an empty list, a list of mistakes, nobody's notification."""
    async with daemon(tmp_path) as running:
        first, again = await publish(running, "k1", body), await publish(running, "k1", body)
        assert (first.status, again.status, again.body) == (202, 202, first.body)
        assert again.headers["idempotency-replayed"] == "true"


async def test_another_body(tmp_path: Path) -> None:
    """409 with the key, and the first answer stays (CH-114)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        first = await publish(running, "k1")
        answer = await publish(running, "k1", UNNAMED)
        assert answer.refusal == (409, "SVC0005", ["k1", "Idempotency-Key"])
        assert (await publish(running, "k1")).body == first.body
        assert await pending(running) == 1


async def test_other_keys_and_producers(tmp_path: Path) -> None:
    """The same body under another key, another client's token or no key is a new request; another
    token of the same client is not (CH-12, CH-114)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        bearers = [token(client, "publish", client_id=client) for client in ("a", "b")]
        answers = [await publish(running, "k1", bearer=bearer) for bearer in bearers]
        answers.append(await publish(running, "K1", bearer=bearers[0]))
        answers.append(await publish(running, "", headers=[], bearer=bearers[0]))
        assert not any("idempotency-replayed" in one.headers for one in answers)
        assert await pending(running) == 4
        again = await publish(running, "k1", bearer=token("c", "publish", client_id="a"))
        assert (again.body, again.headers["idempotency-replayed"]) == (answers[0].body, "true")


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\tb"])
async def test_malformed_keys(tmp_path: Path, key: str) -> None:
    """400 with the header's name, and nothing is stored (CH-114)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        answer = await publish(running, key)
        assert answer.refusal == (400, "SVC0002", ["Idempotency-Key"])
        assert await pending(running) == 0


@pytest.mark.parametrize("key", ["1", '!"#~', "x" * 255])
async def test_the_edges_of_a_key(tmp_path: Path, key: str) -> None:
    """1 to 255 visible ASCII characters pass (CH-114)."""
    async with daemon(tmp_path) as running:
        assert [(await publish(running, key)).status for _ in range(2)] == [202, 202]


async def test_errors_are_not_remembered(tmp_path: Path) -> None:
    """Whatever was refused as a whole may be corrected under the same key (CH-114)."""
    async with daemon(tmp_path, limits={"backlog": 1}) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        refused: list[tuple[object, int]] = [(b"no JSON", 400), ({}, 400), ([UNNAMED] * 1001, 413)]
        for body, status in refused:
            assert (await publish(running, "k1", body)).status == status
        first = await publish(running, "k1", chat("e1"))
        assert (first.status, "idempotency-replayed" in first.headers) == (202, False)
        assert (await publish(running, "k2", UNNAMED)).status == 503
        await running.delete(channel["resourceURL"])
        await running.subscribe(await running.open_channel())
        assert (await publish(running, "k2", UNNAMED)).status == 202


async def test_a_clash_of_ids_is_not_remembered(tmp_path: Path) -> None:
    """It is found out inside the commit, and is an error like others (CH-114, CH-115)."""
    async with daemon(tmp_path) as running:
        assert (await publish(running, "k1", chat("e1"))).status == 202
        clash = chat("e1", user="bob")
        for _ in range(2):
            answer = await publish(running, "k2", clash)
            assert answer.refusal == (409, "SVC0005", ["e1", "id"])
            assert "idempotency-replayed" not in answer.headers
        assert (await publish(running, "k2", chat("e2"))).status == 202


async def test_while_the_first_is_running_the_second_waits(tmp_path: Path) -> None:
    """Of many at once one is carried out, the others get its answer (CH-114)."""
    async with daemon(tmp_path) as running:
        await running.subscribe(await running.open_channel())
        answers: list[Answer] = []

        async def one() -> None:
            answers.append(await publish(running, "k1"))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(one)
        assert {(answer.status, answer.body) for answer in answers} == {(202, answers[0].body)}
        assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
        assert await pending(running) == 1


def asked(key: str | None = "k1", body: bytes = b"b") -> Request:
    """A request with a key."""
    headers = {} if key is None else {"idempotency-key": key}
    return Request("POST", PUBLISH, (), headers, body)


async def carried_out(it: Bench, submission: Submission | None, body: bytes) -> Remembered:
    """Answer with `body`, and have the store remember it."""
    if submission is not None:
        submission.render = lambda _verdicts: Remembered(202, body)
        await it.ingest.accept([], submission=submission)
    return Remembered(202, body)


@pytest.mark.parametrize("ending", ["refused", "cancelled"])
async def test_the_first_does_not_come_to_an_answer(ending: str) -> None:
    """Refused or cancelled, it leaves the key to whoever waits for it (CH-114)."""
    async with bench() as it:
        submissions = Submissions(it.store)
        scope, go = trio.CancelScope(), trio.Event()
        answers: list[Any] = []

        async def fails(_request: Request, _submission: Submission | None) -> Remembered:
            await go.wait()
            if ending == "cancelled":
                scope.cancel()
                await trio.lowlevel.checkpoint()
            raise RequestError(503, "SVC1000", label="store")

        async def works(_request: Request, submission: Submission | None) -> Remembered:
            return await carried_out(it, submission, b"second")

        async def first() -> None:
            with scope:
                with pytest.raises(RequestError, match="503"):
                    await answer_once(submissions, asked(), PUBLISH, fails)
                assert ending == "refused"

        async def second() -> None:
            answers.append(await answer_once(submissions, asked(), PUBLISH, works))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(second)
            await trio.testing.wait_all_tasks_blocked()
            assert not answers
            go.set()
        assert [(one.body, list(one.headers)) for one in answers] == [(b"second", [])]
        assert scope.cancelled_caught == (ending == "cancelled")


async def test_without_a_key_nothing_is_remembered() -> None:
    """The handler runs each time and is told of no submission."""
    async with bench() as it:
        bodies = iter([b"1", b"2"])

        async def first(_request: Request, submission: Submission | None) -> Remembered:
            assert submission is None
            return await carried_out(it, submission, next(bodies))

        submissions = Submissions(it.store)
        answers = [await answer_once(submissions, asked(None), PUBLISH, first) for _ in range(2)]
        assert [one.body for one in answers] == [b"1", b"2"]
