"""The push gateway behind its face: acceptance, waiting, answers (push.md, A.3 to A.6).

All pushes of a request go through one acceptance. They are waited for from inside the callback of
its commit, before any of them is handed over, so that no ending is missed.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import attrs
import orjson
import structlog
import trio

from tocsin.delivery.account import Account
from tocsin.delivery.directory import Directory
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.gatewaychannels import GatewayChannels
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.pushapps import PushSettings
from tocsin.delivery.replies import Replies, Waiting
from tocsin.delivery.settings import DeliveryLimits
from tocsin.delivery.submissions import Remembered, Submission, stored_answer
from tocsin.model.channel import Device
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.ids import new_id
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, PushIdentity, Submitted
from tocsin.wire.push.element import Push, call_key
from tocsin.wire.push.pnm2 import FAILED, Endpoint, Reply
from tocsin.wire.push.verbs import ANSWERED_ELSEWHERE, INCOMING_CALL, MISSED_CALL

ENDS_A_CALL: Final = frozenset({MISSED_CALL, ANSWERED_ELSEWHERE})
DIGEST: Final = 0x7FFF_FFFF_FFFF_FFFF

log = structlog.get_logger()


@attrs.frozen
class Asked:
    """A request of the gateway, taken apart: what is already known to be wrong has its reply."""

    endpoint: Endpoint
    elements: Sequence[Push | Reply]
    producer: str
    submission: Submission | None = None


class Gateway:
    """Accepts pushes that name their device, and says what became of them."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        ingest: Ingest,
        endings: Endings,
        *,
        settings: PushSettings,
        limits: DeliveryLimits,
        is_dead: Callable[[str, str], bool],
        blocked: Callable[[str], str | None],
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        """`is_dead(app id, token)`: the token was found gone of late (PU-48). `blocked(lane)`: why
        nothing is attempted there now (PU-16)."""
        self._store = store
        self._directory = directory
        self._ingest = ingest
        self._ack_deadline = settings.ack_deadline
        self._is_dead = is_dead
        self._blocked = blocked
        self._metrics = metrics
        self._clock = clock
        self._channels = GatewayChannels(limits=limits, metrics=metrics, clock=clock)
        self._waiting = Waiting(endings, settings.max_waiting)

    @property
    def waiting(self) -> int:
        """How many pushes are waited for now."""
        return self._waiting.count

    def reconfigure(self, settings: PushSettings) -> None:
        """For requests that come from now on; who waits goes on as he began."""
        self._ack_deadline = settings.ack_deadline
        self._waiting.most = settings.max_waiting

    def stop_waiting(self) -> None:
        """Whoever waits is answered now, and nobody waits any more: the daemon stops."""
        self._waiting.end()

    async def push(self, asked: Asked) -> list[Reply]:
        """A reply for each element, in order.

        On return all that is queued is durable, and what could be waited for has been (PU-14). The
        answer to a `submission` is remembered: as it stands with the pushes, then as it is given.
        Where nothing but failures, `code` 500, came of what was not a repeat, it is forgotten, and
        the same key sends again (PU-15, PU-19). A list with any other reply is remembered with its
        500s, for the key would send the rest twice: those are sent again under another one, where
        their Ids keep the others from being doubled. After a crash, or if the store fails, the
        answer stands as it was with the pushes: queued.
        Raises 503 with nothing stored when the backlog is full or the store cannot take them.
        Cancellation ends the waiting: what was handed to the store is delivered all the same.
        """
        deadline = trio.current_time() + self._ack_deadline
        known = [self._known(one, asked.endpoint) for one in asked.elements]
        replies = Replies(self._waiting, known, gone=asked.endpoint.gone)
        first = replies.finish()
        try:
            repeats = await self._accept(asked, known, replies)
            await replies.wait(deadline)
        finally:
            replies.close()
        answer = replies.finish()
        if asked.submission is not None:
            if _has_failed(answer, repeats):
                await self._forget(asked.submission)
            elif answer != first:
                await self._remember(asked, asked.submission, answer)
        return answer

    def _known(self, element: Push | Reply, endpoint: Endpoint) -> Reply | None:
        if isinstance(element, Reply):
            return element
        return endpoint.gone if self._is_dead(element.app.id, element.token) else None

    async def _accept(
        self, asked: Asked, known: Sequence[Reply | None], replies: Replies
    ) -> Collection[int]:
        """Store what has no reply yet; the positions of repeats among that."""
        pushes = {
            position: one
            for position, one in enumerate(asked.elements)
            if isinstance(one, Push) and known[position] is None
        }
        if not pushes and asked.submission is None:
            return ()
        accounts = await self._directory.accounts([one.user for one in pushes.values()])
        withdrawing = await self._calls_ended_by(pushes)
        # Nothing is awaited from here on until the store has it: nobody may remove the channels.
        now = self._clock()
        acceptance = Acceptance(withdrawing=withdrawing)
        if asked.submission is not None:
            acceptance.submitted = _submitted(asked, asked.submission, replies.finish(), now)
        for push, account in zip(pushes.values(), accounts, strict=True):
            self._add(acceptance, push, account, now=now, producer=asked.producer)

        def done(error: StoreError | None) -> None:
            self._channels.settle(acceptance, accounts, error)
            if error is None:
                self._committed(acceptance, pushes, replies)

        try:
            await self._ingest.store(acceptance, done)
        except RequestError as error:
            # The store may not even have been asked.
            self._channels.settle(acceptance, accounts, error)
            raise
        self._metrics.push_selector_missing.inc(sum(p.lacks_selector for p in pushes.values()))
        return {position for place, position in enumerate(pushes) if place in acceptance.firsts}

    def _add(
        self, acceptance: Acceptance, push: Push, account: Account, *, now: int, producer: str
    ) -> None:
        device = Device(push.app.provider, push.app.id, push.token)
        channel = self._channels.open(account, device, acceptance)
        if push.id:
            acceptance.pushes[len(acceptance.notifications)] = _identity_of(push)
        acceptance.add(push.notification(new_id(), now=now, producer=producer), [channel])

    def _committed(
        self, acceptance: Acceptance, pushes: Mapping[int, Push], replies: Replies
    ) -> None:
        """All is stored, nothing is handed over: what is known now, and what is to be awaited."""
        for place, (position, push) in enumerate(pushes.items()):
            first = acceptance.firsts.get(place)
            if first is not None:
                result, delivery_id, notification = first.result, first.delivery_id, None
            else:
                [delivery] = acceptance.deliveries[place]
                result, delivery_id, notification = None, delivery.id, delivery.notification
            result = result or acceptance.trimmed.ids.get(delivery_id)
            if result is not None:
                replies.end(position, Ending(result))
            elif push.app.ack == "provider" and self._blocked(push.app.lane) is None:
                replies.expect(position, delivery_id, notification)

    async def _calls_ended_by(self, pushes: Mapping[int, Push]) -> list[int]:
        """The deliveries, on all tokens, of incoming calls that some of these say are over
        (PU-13)."""
        over = {
            (call_key(one.id), one.selector)
            for one in pushes.values()
            if one.verb.name in ENDS_A_CALL and one.id
        }
        if not over:
            return []
        found = await self._store.find_calls([key for key, _ in over])
        return [id_ for id_, one in found if (one.order_key, _selector_of(one.body)) in over]

    async def _remember(
        self, asked: Asked, submission: Submission, answer: Sequence[Reply]
    ) -> None:
        """Without this the answer as it first stood is given again; nothing is pushed twice."""
        now = self._clock()
        final = Acceptance(submitted=_submitted(asked, submission, answer, now))
        try:
            await self._ingest.store(final)
        except RequestError as error:
            log.warning("push.answer_not_remembered", reason=error.label)

    async def _forget(self, submission: Submission) -> None:
        """Without this the answer as it first stood is given again."""
        try:
            await self._store.forget_submission(submission.key, submission.proof)
        except StoreError as error:
            log.warning("push.answer_not_forgotten", reason=str(error))


def _has_failed(answer: Sequence[Reply], repeats: Collection[int]) -> bool:
    """Whether something failed, and all did but repeats, which send nothing the next time
    either."""
    failed = [reply.code == FAILED.code for reply in answer]
    return any(failed) and all(one or place in repeats for place, one in enumerate(failed))


def _submitted(
    asked: Asked, submission: Submission, answer: Sequence[Reply], now: int
) -> Submitted:
    remembered = Remembered(200, asked.endpoint.render(answer))
    stored = stored_answer(submission.content, remembered)
    return Submitted(submission.key, submission.proof, lambda _repeats: stored, now)


def _selector_of(body: bytes) -> str:
    return str(orjson.loads(body)[INCOMING_CALL].get("Selector", ""))


def _identity_of(push: Push) -> PushIdentity:
    """Two digests of 63 bits; no two pushes that differ have the same text (PU-18)."""
    state = hashlib.sha256()
    for part in (push.app.id, push.token, push.selector, push.verb.name, push.id):
        raw = part.encode()
        state.update(b"%d:" % len(raw))
        state.update(raw)
    digest = state.digest()
    return PushIdentity(int.from_bytes(digest[:8]) & DIGEST, int.from_bytes(digest[8:16]) & DIGEST)
