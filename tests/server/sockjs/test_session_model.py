"""A session under whatever order of requests, breaks, messages and time (sockjs.md, section 5).

The machine keeps what a client and an application can know: what was sent, what came out of which
response and when. After every step it compares that with the rules.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.fakes.sockjs import Response, Settings, World

from tocsin.server.sockjs.receiver import STALLED
from tocsin.server.sockjs.session import Handover

MESSAGES = st.lists(st.text("ab<é\ud800", max_size=5), min_size=1, max_size=4)
CLOSE = 'c[3000,"Go away!"]'
ANOTHER = 'c[2010,"Another connection still open"]'
TRY_AGAIN = 'c[1013,"Try again later"]'
HEARTBEAT, DISCONNECT, PROVE = 25.0, 5.0, 7.0
LIMIT = 60


class Client(RuleBasedStateMachine):
    """One client, one application, and the network between them."""

    @initialize(proves=st.booleans())
    def begin(self, proves: bool) -> None:
        within = PROVE if proves else 0.0
        self.it = World(settings=Settings(prove_within=within, outbox_messages=6, inbox_messages=3))
        self.proves = proves
        self.start()

    def start(self) -> None:
        """Nothing is known of any session."""
        self.responses: list[Response] = []
        self.sent: list[str] = []
        self.posted: list[str] = []
        self.close_frame: str | None = None
        self.closed_at: float | None = None
        self.is_paused = False
        self.attach("stream", is_late=False)

    # What the machine knows.

    @property
    def current(self) -> Response | None:
        """The response that has not come to its end."""
        if not self.responses or self.responses[-1].is_aborted:
            return None
        last = self.responses[-1]
        return last if last.finished_at is None else None

    @property
    def is_gone(self) -> bool:
        return self.it.gone > 0

    def delivered(self) -> list[str]:
        return [one for response in self.responses for one in response.messages]

    # What can happen.

    @precondition(lambda self: self.is_gone)
    @rule(proves=st.booleans())
    def anew(self, proves: bool) -> None:
        """The next receiving request makes another session (SJ-24)."""
        self.begin(proves)

    @precondition(lambda self: not self.is_gone)
    @rule(kind=st.sampled_from(["poll", "stream"]), is_late=st.booleans())
    def attach(self, kind: str, is_late: bool) -> None:
        was, waited = self.current, self.it.session.waiting
        before = len(self.delivered())
        proofs = len(self.it.app.of("proven"))
        if kind == "poll":
            response = self.it.poll(is_late=is_late)
        else:
            response = self.it.stream(limit=LIMIT, is_late=is_late)
        if self.close_frame is not None and (was is not None or not waited):
            assert response.frames == [self.close_frame]
            assert response.is_ended
        elif was is not None:
            assert response.frames == [ANOTHER]
            assert response.is_ended
        else:
            self.responses.append(response)
            if self.close_frame is None and before:
                assert self.it.app.of("proven")[-1] == before
            return
        assert len(self.it.app.of("proven")) == proofs

    @precondition(lambda self: not self.is_gone)
    @rule(messages=MESSAGES)
    def send(self, messages: list[str]) -> None:
        """The application sends; what does not fit closes the session (SJ-28)."""
        before = self.it.session.sent
        was_open = self.close_frame is None
        fits = self.it.session.send(*messages)
        count = self.it.session.sent - before
        assert fits == (was_open and count == len(messages))
        self.sent += messages[:count]
        if was_open and not fits:
            assert self.it.session.waiting == 6
            self.close_frame = TRY_AGAIN
            self.closed_at = self.it.clock.now

    @precondition(lambda self: not self.is_gone)
    @rule()
    def close(self) -> None:
        self.it.session.close(3000, "Go away!")
        if self.close_frame is None:
            self.close_frame = CLOSE
            self.closed_at = self.it.clock.now

    @rule(messages=MESSAGES)
    def post(self, messages: list[str]) -> None:
        """The client sends."""
        waiting = len(self.posted) - len(self.it.app.of("received"))
        handover = self.it.session.received(messages)
        if self.is_gone:
            assert handover is Handover.GONE
        elif self.close_frame is not None:
            assert handover is Handover.CLOSING
        elif waiting >= 3:
            assert handover is Handover.FULL
        else:
            assert handover is Handover.TAKEN
            self.posted += messages

    @rule()
    def pause(self) -> None:
        self.it.session.pause()
        self.is_paused = True

    @rule()
    def resume(self) -> None:
        self.it.session.resume()
        self.is_paused = False

    @precondition(lambda self: self.current and self.current.blocked_since is None)
    @rule()
    def block(self) -> None:
        if self.current:
            self.current.block()

    @precondition(lambda self: self.current and self.current.blocked_since is not None)
    @rule()
    def unblock(self) -> None:
        if self.current:
            self.current.unblock()

    @precondition(
        lambda self: (
            self.current
            and self.current.is_ended
            and self.current.is_late
            and self.current.blocked_since is None
        )
    )
    @rule()
    def finish(self) -> None:
        if self.current:
            self.current.finish()

    @precondition(lambda self: self.current)
    @rule()
    def break_off(self) -> None:
        if self.current:
            self.current.break_off()
            self.current.is_aborted = True
            assert self.is_gone == (self.close_frame is None)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 4.5, 5.0, 7.0, 24.5, 25.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.it.clock.advance(seconds)

    # What always holds.

    @invariant()
    def in_order_and_once(self) -> None:
        """What came out is what was sent first, nothing twice (SJ-22, SJ-25, SJ-26)."""
        delivered = self.delivered()
        assert delivered == self.sent[: len(delivered)]
        if any(response.is_aborted for response in self.responses):
            assert self.it.session.waiting == 0
        elif not self.is_gone:
            assert len(self.sent) - len(delivered) == self.it.session.waiting <= 6

    @invariant()
    def one_opening_first(self) -> None:
        """`o` once, before everything (SJ-22)."""
        frames = [frame for response in self.responses for frame in response.frames]
        assert frames[0] == "o"
        assert frames.count("o") == 1

    @invariant()
    def the_close_frame_last(self) -> None:
        """Nothing follows it, and it ends its response (SJ-26)."""
        for response in self.responses:
            closing = [frame for frame in response.frames if frame.startswith("c")]
            assert closing in ([], [self.close_frame])
            if closing:
                assert response.frames[-1] == closing[0]
                assert response.is_ended
            if response.transport == "xhr-polling":
                assert len(response.frames) <= 1

    @invariant()
    def nothing_waits_without_reason(self) -> None:
        """A receiver that takes frames has got everything (SJ-25, SJ-26)."""
        current = self.current
        if current and not current.is_ended and current.blocked_since is None and not self.is_gone:
            assert not self.it.session.waiting
            assert self.close_frame is None

    @invariant()
    def heartbeats(self) -> None:
        """Never a longer silence, and none too early (SJ-27)."""
        now, current = self.it.clock.now, self.current
        if current and not current.is_ended and current.blocked_since is None and current.times:
            assert now - current.times[-1] < HEARTBEAT + STALLED
        for response in self.responses:
            pairs = zip(response.times, response.times[1:], response.frames[1:], strict=False)
            for before, at, frame in pairs:
                assert frame != "h" or at - before >= HEARTBEAT

    @invariant()
    def stalled_receivers(self) -> None:
        """Nobody is waited for longer than that (SJ-28)."""
        current = self.current
        if current and current.blocked_since is not None:
            assert self.it.clock.now - current.blocked_since < STALLED

    @invariant()
    def proof_is_asked_for(self) -> None:
        """No response goes on for long with unproven messages (SJ-29)."""
        current = self.current
        if self.proves and current and not current.is_ended and current.messages:
            first = next(
                at
                for at, frame in zip(current.times, current.frames, strict=True)
                if frame.startswith("a")
            )
            if current.blocked_since is None:
                assert self.it.clock.now - first < PROVE + STALLED

    @invariant()
    def gone_in_time(self) -> None:
        """Neither early nor late (SJ-24 to SJ-26)."""
        last = self.responses[-1]
        if last.is_aborted and self.close_frame is None:
            assert self.is_gone
        elif last.finished_at is not None:
            left_at = max(last.finished_at, self.closed_at or 0.0)
            assert self.is_gone == (self.it.clock.now - left_at >= DISCONNECT)
        elif not last.is_aborted:
            assert not self.is_gone

    @invariant()
    def the_applications_story(self) -> None:
        """Opened first, closed once and last, messages in order and none that was not taken."""
        events = self.it.app.events
        received = self.it.app.of("received")
        assert events[0] == ("opened",)
        assert len(self.it.app.of("opened")) == 1
        assert self.it.app.of("closed") == [] or events[-1][0] == "closed"
        assert len(self.it.app.of("closed")) <= 1
        assert received == self.posted[: len(received)]
        if self.close_frame is None and not self.is_paused:
            assert received == self.posted
            assert bool(self.it.app.of("closed")) == self.is_gone


Client.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestClient = Client.TestCase
