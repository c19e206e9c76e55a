"""Live connections end with their tokens (messaging.md, MS-9 and MS-11).

    revoked, wherever                                  -> 3000
    over, leeway included (`cut_on_token_expiry`)      -> 3000
    its issuer, asked every `recheck` seconds, says:
        not active                                     -> 3000
        the subscriber is not, or the scope is gone    -> 3003
    the issuer cannot be asked                         -> nothing

A token is asked about once, however many connections live by it. A connection looks after its
token's end itself, at least once a minute: so one that has ended is not kept until its token does,
and a clock that was set is noticed.
"""

from collections.abc import Callable
from typing import Final, Protocol

import attrs
import trio

from tocsin.delivery.revocations import Revocations
from tocsin.model.errors import RequestError
from tocsin.model.principal import Principal
from tocsin.ops.service import Progress
from tocsin.server.auth import Authenticator
from tocsin.server.heartbeat import Ticking
from tocsin.server.messaging.admitted import Admitted
from tocsin.server.messaging.guard import is_allowed
from tocsin.wire.claims import LEEWAY
from tocsin.wire.sockjs.frames import FORBIDDEN, INTERNAL_ERROR, UNAUTHORIZED

LOOK: Final = 60.0
CONCURRENCY: Final = 16


class Ending(Protocol):
    """What lives by a token; told apart by identity."""

    def end(self, code: int, reason: str) -> None:
        """Close it; no-op when it has ended."""


class WatchSettings(Protocol):
    """What it reads of `MessagingSettings`."""

    @property
    def recheck(self) -> float: ...
    @property
    def cut_on_token_expiry(self) -> bool: ...


@attrs.define(eq=False)
class _Token:
    """A token that connections live by. `principal` is what was known of it last."""

    text: str = attrs.field(repr=False)
    principal: Principal
    is_asked: bool
    living: "set[_Life]" = attrs.field(factory=set, repr=False)

    def end(self, code: int, reason: str) -> None:
        """Close every connection that lives by it."""
        for life in [*self.living]:
            life.close(code, reason)


@attrs.define(eq=False)
class _Life:
    """One connection as the bearer of its token, and in the wheel. `one` None: it is over."""

    principal: Principal
    one: Ending | None
    token: _Token
    seconds_left: Callable[[Principal], float]

    def token_revoked(self) -> None:
        """See `Bearer`."""
        self.close(*UNAUTHORIZED)

    def close(self, code: int, reason: str) -> None:
        """Close the connection, if there is still one."""
        if self.one is not None:
            self.one.end(code, reason)

    def tick(self, now: float) -> float | None:
        """Close if the token is over; when to look again."""
        if self.one is None:
            return None
        left = self.seconds_left(self.token.principal)
        if left > 0:
            return now + min(left, LOOK)
        self.close(*UNAUTHORIZED)
        return None

    def end(self, code: int) -> None:
        """See `Ticking`: `tick` has crashed."""
        self.close(code, INTERNAL_ERROR[1])


class TokenWatch:
    """Who lives by which token, and what becomes of the tokens.

    `tokens` is whoever lets connections in, and may be replaced at any time. `schedule` has a
    `tick` called (the wheel's `add`).
    """

    def __init__(
        self,
        tokens: Authenticator,
        revocations: Revocations,
        settings: WatchSettings,
        *,
        schedule: Callable[[Ticking, float], None],
        now: Callable[[], float] = trio.current_time,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self.tokens = tokens
        self._revocations = revocations
        self._settings = settings
        self._schedule = schedule
        self._now = now
        self._concurrency = concurrency
        self._lives: dict[Ending, _Life] = {}
        self._known: dict[str, _Token] = {}

    def __len__(self) -> int:
        return len(self._lives)

    def begin(self, one: Ending, admitted: Admitted) -> bool:
        """From here on the connection ends with its token, until `ended`.

        False: the token was revoked since the guard has seen it; close the connection 3000.
        """
        principal = admitted.principal
        token = self._known.get(principal.digest) or _Token(
            admitted.token, principal, self.tokens.is_introspected(admitted.token)
        )
        life = _Life(principal, one, token, self._seconds_left)
        if not self._revocations.bear(life):
            return False
        self._known[principal.digest] = token
        self._lives[one] = life
        token.living.add(life)
        if self._settings.cut_on_token_expiry:
            self._schedule(life, self._now() + min(self._seconds_left(principal), LOOK))
        return True

    def ended(self, one: Ending, admitted: Admitted) -> None:
        """The connection is gone; no-op where it never began."""
        life = self._lives.pop(one, None)
        if life is None:
            return
        life.one = None
        self._revocations.let_go(life)
        life.token.living.discard(life)
        if not life.token.living:
            del self._known[admitted.principal.digest]

    async def run(self, progress: Progress) -> None:
        """Ask about tokens every now and then, until cancelled."""
        progress.ready()
        while True:
            progress.waiting("the next questions about tokens")
            await trio.sleep(self._settings.recheck)
            progress.beat()
            await self.recheck(progress)

    async def recheck(self, progress: Progress) -> None:
        """Ask about every token that its issuer may have changed its mind about; not about one
        that is over and was left to live, for there is nothing more to be said of that."""
        waiting = [one for one in self._known.values() if one.is_asked and self._can_end(one)]
        async with trio.open_nursery() as nursery:
            for _ in range(min(self._concurrency, len(waiting))):
                nursery.start_soon(self._ask_in_turn, waiting, progress)

    async def _ask_in_turn(self, waiting: list[_Token], progress: Progress) -> None:
        while waiting:
            await self._ask(waiting.pop())
            progress.beat()

    async def _ask(self, token: _Token) -> None:
        if not token.living:
            return
        try:
            token.principal = await self.tokens.judge_again(token.text)
        except RequestError as error:
            if error.status == 401:
                token.end(*UNAUTHORIZED)
            return
        if not is_allowed(token.principal):
            token.end(*FORBIDDEN)

    def _can_end(self, token: _Token) -> bool:
        return self._settings.cut_on_token_expiry or self._seconds_left(token.principal) > LEEWAY

    def _seconds_left(self, principal: Principal) -> float:
        return self.tokens.seconds_left(principal)
