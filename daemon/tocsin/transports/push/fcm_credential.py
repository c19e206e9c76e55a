"""What we prove ourselves to FCM by: an access token, fetched in the background (push.md, PU-42).

One task fetches: at the start, after three quarters of a token's life, when somebody says that the
token of now was refused, and after 1, 2, 4 ... 60 s while that fails. No push waits for it but the
first ones after the start and those whose token was refused, each within its own deadline. How
often a token can be refused is bounded by the pause of the key, which the second refusal of a push
brings about: from then on there is one probe a minute.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
import trio

from tocsin.transports.push.tokenfetch import TokenFetchError
from tocsin.wire.push.assertion import Grant, granted, token_request
from tocsin.wire.push.keys import ServiceAccount

RENEW_AT = 0.75
MARGIN_SECONDS = 10.0
MARGIN_SHARE = 0.1
LONGEST_PAUSE = 60.0
ALARMING = 3
BLOCKED = "oauth"

Fetch = Callable[[str, Mapping[str, str]], Awaitable[bytes]]
OnState = Callable[[str, str | None], None]
Emit = Callable[..., None]

log = structlog.get_logger()


class FcmCredential:
    """A service account and its access token of now.

    `fetch(url, form)` answers the body of a good answer or raises TokenFetchError. `on_state` is
    called with the key's name and "oauth" when there is no valid token, and with None when there
    is one again. `emit` tells an operator. Both clocks tell epoch milliseconds; `clock` never
    steps, `wall` is compared with Google's.
    """

    def __init__(
        self,
        name: str,
        account: ServiceAccount,
        *,
        fetch: Fetch,
        on_state: OnState,
        emit: Emit,
        clock: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self._name = name
        self._account = account
        self._fetch = fetch
        self._on_state = on_state
        self._emit = emit
        self._clock = clock
        self._wall = wall
        self._grant = Grant("", 0.0)
        self._ends_at = 0
        self.expires_at = 0.0
        self._failures = 0
        self._is_alarmed = False
        self._told: str | None = None
        self._is_retired = False
        self._under_way = True  # the first fetch is as good as begun: `run` starts with it
        self._wanted = trio.Event()
        self._ended = trio.Event()

    @property
    def grant(self) -> Grant | None:
        """The access token, None if there is no valid one."""
        return self._grant if self._clock() < self._ends_at else None

    async def current(self, *, deadline: float) -> Grant | None:
        """The same, but while the first one is still being fetched it waits, until Trio's
        `deadline`."""
        if self.grant is None and self._under_way and not self._failures:
            await self._wait(deadline)
        return self.grant

    async def renew(self, refused: Grant, *, deadline: float) -> bool:
        """Whether there is a later one than the one that was refused; fetched if need be.

        All who were refused with the same one share a fetch. It is another even if its text is
        the same: Google was asked since.
        """
        if self._grant is refused and self._ask():
            await self._wait(deadline)
        return self._grant is not refused and self.grant is not None

    def retire(self) -> None:
        """Another takes its place: what becomes of this one concerns nobody."""
        self._is_retired = True

    async def run(self) -> None:
        """Keep a valid token at hand, until cancelled."""
        while True:
            self._under_way = True
            self._wanted = trio.Event()
            await self._renew()
            self._end()
            with trio.move_on_after(self._pause()):
                await self._wanted.wait()

    def _ask(self) -> bool:
        """Whether a fetch is under way or begins now; while fetches fail they keep to their
        pauses."""
        if not self._under_way:
            if self._failures:
                return False
            self._under_way = True
            self._wanted.set()
        return True

    async def _wait(self, deadline: float) -> None:
        with trio.move_on_at(deadline):
            await self._ended.wait()

    async def _renew(self) -> None:
        form = token_request(self._account, now=self._wall() // 1000)
        try:
            self._take(granted(await self._fetch(self._account.token_uri, form)))
        except (TokenFetchError, ValueError) as error:
            self._note_failure(str(error))

    def _take(self, grant: Grant) -> None:
        """The last seconds of its life are left out: a push takes some to arrive."""
        self._grant = grant
        margin = min(MARGIN_SECONDS, grant.seconds * MARGIN_SHARE)
        self._ends_at = self._clock() + int((grant.seconds - margin) * 1000)
        self.expires_at = self._wall() / 1000 + grant.seconds
        self._failures, self._is_alarmed = 0, False
        log.info("push.access_token_renewed", key=self._name, seconds=grant.seconds)

    def _note_failure(self, reason: str) -> None:
        self._failures += 1
        log.info("push.access_token_failed", key=self._name, reason=reason, failures=self._failures)
        if self._is_alarmed or self._is_retired:
            return
        if self._failures >= ALARMING or self.grant is None:
            self._is_alarmed = True
            self._emit("push.credential.failing", key=self._name, reason=reason)

    def _end(self) -> None:
        self._under_way = False
        self._ended.set()
        self._ended = trio.Event()
        state = BLOCKED if self.grant is None else None
        if state != self._told and not self._is_retired:
            self._told = state
            self._on_state(self._name, state)

    def _pause(self) -> float:
        """Seconds until the next fetch; while it fails, no longer than the token still lives, so
        that its end is noticed when it comes."""
        if not self._failures:
            return self._grant.seconds * RENEW_AT
        pause = min(LONGEST_PAUSE, 2.0 ** min(self._failures - 1, 10))
        left = (self._ends_at - self._clock()) / 1000
        return min(pause, left) if left > 0 else pause
