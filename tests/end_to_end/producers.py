"""Producers for the tests that kill: careless ones, and ones that ask again until they know.

Each has one request under way at a time. A careless one forgets a request that was cut off; a
careful one sends it again, under the same ids or the same Idempotency-Key, until it is answered.
"""

from urllib.parse import urlencode

import attrs
import orjson
import trio
from tests.end_to_end.clients import ROOT, User, chat
from tests.end_to_end.daemon import token
from tests.end_to_end.http_connection import Answer, HttpConnection, http_connection
from tests.end_to_end.load import PAUSE, Load

PRIORITIES = ("urgent", "normal", "low")
KEYS = 4
MOST_OPEN = 1500


@attrs.define
class Submission:
    """One request as it was first sent, and as often as it is sent again."""

    path: str
    document: object
    names: list[str]
    key: str | None
    sent: int = 0
    answer: Answer | None = None


@attrs.define
class Producer:
    """Produces until it is calm, `batch` items a request (0: one object), whatever happens.

    `is_careful` as above; `with_key` has it use keys instead of ids of its own. `targets` are
    users, or the callbacks of channels as (user, channel, mailbox).
    """

    load: Load
    name: str
    targets: list[str] | list[tuple[User, str, str]]
    batch: int = 0
    is_careful: bool = False
    with_key: bool = False
    _count: int = 0
    _open: Submission | None = None

    async def run(self) -> None:
        """See the class."""
        while not self.load.calm.is_set():
            try:
                async with http_connection(self.load.daemon.public) as connection:
                    await self._produce_over(connection)
            except OSError:
                await trio.sleep(PAUSE)

    async def _produce_over(self, connection: HttpConnection) -> None:
        while not self.load.calm.is_set():
            if self.load.ledger.open > MOST_OPEN:
                await trio.sleep(PAUSE)
                continue
            if self._open is None or not self.is_careful:
                self._open = self._next()
            submission = self._open
            await self._send(connection, submission)
            if submission.answer is None:
                await trio.sleep(PAUSE)
                continue
            if self.is_careful and self.load.happens(0.1):
                await self._send(connection, submission)
            self._open = None

    async def _send(self, connection: HttpConnection, submission: Submission) -> None:
        submission.sent += 1
        headers = {
            "Authorization": f"Bearer {token('platform', 'publish')}",
            "Content-Type": "application/json",
        }
        if submission.key is not None:
            headers["Idempotency-Key"] = submission.key
        body = orjson.dumps(submission.document)
        self.load.ledger.retry(submission.names)
        answer = await connection.request("POST", submission.path, body, headers)
        if answer.status != 503:
            self._judge(submission, answer)
        elif submission.sent == 1:
            self.load.ledger.refuse(submission.names)
        if answer.headers.get("connection") == "close":
            raise ConnectionError("the daemon wants to have it closed")

    def _judge(self, submission: Submission, answer: Answer) -> None:
        ledger, is_again = self.load.ledger, submission.sent > 1
        replayed = is_replay(answer)
        if replayed and not (is_again and submission.key is not None):
            ledger.mistake(f"{submission.names} was sent for the first time: {answer}")
        first = submission.answer
        if first is not None and submission.key is not None and not is_replay_of(first, answer):
            ledger.mistake(f"{submission.names}: {first} was followed by {answer}")
        submission.answer = answer
        if answer.status == 204:
            ledger.promise_id(submission.names[0], answer.headers["x-notification-id"])
            return
        assert answer.status == 202, (submission, answer)
        answers = answer.json() if self.batch else [answer.json()]
        for name, one in zip(submission.names, answers, strict=True):
            if first is not None and not (replayed or one.get("duplicate")):
                ledger.mistake(f"{name} was accepted twice: {answer}")
            ledger.promise(name, one, is_again=is_again)

    # -- making requests -----------------------------------------------------------------------

    def _next(self) -> Submission:
        self._count += 1
        key = f"{self.name}-{self._count}" if self.with_key else None
        target = self.load.rng.choice(self.targets)
        if isinstance(target, tuple):
            return self._call_back(target, key)
        items = [self._item() for _ in range(self.batch or 1)]
        document = items if self.batch else items[0]
        names = [item["notification"][ROOT]["chatMessage"]["text"] for item in items]
        return Submission("/v1/notifications", document, names, key)

    def _item(self) -> dict:  # type: ignore[type-arg]
        target = self.load.rng.choice(self.targets)
        assert isinstance(target, str)
        order_key, priority = self._lot(target)
        named = not self.with_key
        name = self.load.ledger.send(order_key, user=target, is_named=named)
        members = {"id": name} if named else {}
        return chat(target, name, order_key=order_key, priority=priority, **members)

    def _call_back(self, target: tuple[User, str, str], key: str | None) -> Submission:
        user, channel, mailbox = target
        order_key, priority = self._lot(mailbox)
        name = self.load.ledger.send(order_key, mailbox=mailbox, is_named=False)
        query = urlencode({"order_key": order_key, "priority": priority})
        path = f"{user.channels}/{channel}/callback?{query}"
        return Submission(path, {ROOT: {"chatMessage": {"text": name}}}, [name], key)

    def _lot(self, target: str) -> tuple[str, str]:
        """One order key of four per producer and target; all of a key have one priority."""
        key = self.load.rng.randrange(KEYS)
        return f"{self.name} {target} {key}", PRIORITIES[key % len(PRIORITIES)]


def is_replay(answer: Answer) -> bool:
    """Whether the answer says that it is an earlier one."""
    return answer.headers.get("idempotency-replayed") == "true"


def is_replay_of(first: Answer, answer: Answer) -> bool:
    """Whether it says so and is that one (CH-114)."""
    return is_replay(answer) and (answer.status, answer.body) == (first.status, first.body)
