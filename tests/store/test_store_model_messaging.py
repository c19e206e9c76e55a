"""Messaging in the SQLite store against a model made of lists: the same Logs, the same statuses."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.fakes.mail import Postbox, text

from tocsin.model.conversation import Conversation, Room, Subscriber
from tocsin.store.mail import Letter
from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.wire.messaging.words import MessageStatus

NAMES = ("ann", "bob", "cid")
KEPT = 12
RECEIVED, READ = MessageStatus.RECEIVED, MessageStatus.READ
Told = tuple[str, str, str]
"""(message-id, who, status), the latter two empty for the message itself."""


@attrs.define(eq=False)
class Sent:
    """What the model knows of a message."""

    id: str
    sender: Subscriber
    conversation: Conversation
    statuses: dict[int, MessageStatus]


class MessagingMachine(RuleBasedStateMachine):
    """Every rule asks the store and the model for the same; all Logs are compared after each."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = str(Path(self._folder.name) / "store.db")
        self.post = self._open()
        self.sent: list[Sent] = []
        self.people: list[Subscriber] = []
        self.logs: dict[int, list[Told]] = {}
        self.proven: dict[int, int] = {}
        self.firsts: dict[tuple[int, str], str] = {}

    def teardown(self) -> None:
        self._close()
        self._folder.cleanup()

    @initialize()
    def people_with_a_room(self) -> None:
        """Three who know each other."""
        self.people = [self.post.person(name) for name in NAMES]
        self.logs = {one.key: [] for one in self.people}
        self.proven = dict.fromkeys(self.logs, 0)
        self._ask(self._make_room)

    async def _make_room(self) -> None:
        self.room: Room = await self.post.room(*self.people)

    # -- rules -----------------------------------------------------------------------------

    @rule(sender=st.integers(0, 2), to=st.integers(0, 3), dedupe=st.sampled_from([None, "a", "b"]))
    def send(self, sender: int, to: int, dedupe: str | None) -> None:
        """To one of them, or to the Room where it would be oneself."""
        who = self.people[sender]
        target = self.room if to in {3, sender} else self.people[to]
        mail = self.post.mail(who, target, dedupe_id=dedupe)
        self._ask(lambda: self.post.post(mail))
        assert mail.letter is not None
        assert mail.repeat == self.firsts.get((who.key, dedupe or ""))
        if mail.repeat is None:
            self._note(who, target, mail.letter, dedupe)

    @rule(number=st.integers(0, 2), upto=st.integers(0, 40), after=st.integers(0, 40))
    def prove(self, number: int, upto: int, after: int) -> None:
        """Somebody has his Log up to there."""
        who = self.people[number]
        log = self.logs[who.key]
        after = min(after, self.proven[who.key])
        self._ask(lambda: self.post.prove(who, upto, after=after, now=self.post.now))
        first = max(self.proven[who.key], self._trimmed(who), after)
        for id_, by, _ in log[first:upto]:
            if not by:
                self._receive(who, id_)
        self.proven[who.key] = max(self.proven[who.key], min(upto, len(log)))

    @precondition(lambda self: self.sent)
    @rule(
        number=st.integers(0, 2),
        which=st.integers(0, 40),
        status=st.sampled_from([RECEIVED, MessageStatus.DISPLAYED, READ]),
        through=st.booleans(),
    )
    def mark(self, number: int, which: int, status: MessageStatus, through: bool) -> None:
        """Somebody says what became of a message."""
        who, one = self.people[number], self.sent[which % len(self.sent)]
        answers: list[bool] = []

        async def mark() -> None:
            answers.append(await self.post.mark(who, one.id, status, through=through))

        self._ask(mark)
        assert answers == [who.key in one.statuses]
        if who.key in one.statuses:
            self._mark(who, one, status, through=through)

    @rule()
    def restart(self) -> None:
        """Everything is there again."""
        self._close()
        self.post = self._open()

    @invariant()
    def the_same_logs(self) -> None:
        """All of them, from where they begin."""
        self._ask(self._compare)

    async def _compare(self) -> None:
        for one in self.people:
            log = self.logs[one.key]
            page = await self.post.page(one)
            assert (page.state.last, page.state.proven) == (len(log), self.proven[one.key])
            assert [_told(text(entry)) for entry in page.entries] == log[self._trimmed(one) :]

    # -- the model -------------------------------------------------------------------------

    def _note(
        self, who: Subscriber, target: Subscriber | Room, letter: Letter, dedupe: str | None
    ) -> None:
        others = self.people if isinstance(target, Room) else [target]
        to = [one for one in others if one is not who]
        statuses = dict.fromkeys((one.key for one in to), MessageStatus.STORED)
        one = Sent(letter.id, who, letter.conversation, statuses)
        self.sent.append(one)
        if dedupe is not None:
            self.firsts[who.key, dedupe] = one.id
        for reader in (who, *to):
            self.logs[reader.key].append((one.id, "", ""))

    def _mark(self, who: Subscriber, said: Sent, status: MessageStatus, *, through: bool) -> None:
        upto = self.sent[: self.sent.index(said) + 1]
        about = (
            [one for one in upto if one.conversation == said.conversation] if through else [said]
        )
        risen = [one for one in about if one.statuses.get(who.key, READ) < status]
        for one in risen:
            one.statuses[who.key] = status
        for one in {one.sender.key: one for one in risen}.values():
            self.logs[one.sender.key].append((one.id, who.id, status.word))
        if risen and status is READ:
            self.logs[who.key].append((said.id, who.id, status.word))

    def _receive(self, who: Subscriber, id_: str) -> None:
        [one] = [one for one in self.sent if one.id == id_]
        if one.statuses.get(who.key, READ) < RECEIVED:
            one.statuses[who.key] = RECEIVED
            self.logs[one.sender.key].append((one.id, who.id, RECEIVED.word))

    def _trimmed(self, who: Subscriber) -> int:
        return max(0, len(self.logs[who.key]) - KEPT)

    # -- the store -------------------------------------------------------------------------

    def _open(self) -> Postbox:
        post = Postbox(SqliteStore(StoreSettings(path=self._path), threaded=False))
        post.store.most_entries = KEPT
        return post

    def _close(self) -> None:
        async def close() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.post.store.run)
                nursery.cancel_scope.cancel()

        trio.run(close)

    def _ask(self, question: Callable[[], Awaitable[None]]) -> None:
        trio.run(question)


def _told(message: dict[str, Any]) -> Told:
    if message["type"] != "delivery":
        return message["message-id"], "", ""
    return message["message-id"], message["subscriber-id"], message["status"]


TestMessagingAgainstModel = MessagingMachine.TestCase
TestMessagingAgainstModel.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
