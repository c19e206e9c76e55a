"""What we prove ourselves to APNs by: a token we sign, the same for every push (push.md, PU-41).

Apple takes a token for an hour and refuses whoever comes with new ones too often. So it is renewed
after 40 minutes, for whatever reason never within 20 minutes of the last one, and kept in the store
so that a restart does not make another. Its age is the longer of two: by the clock that never
steps, and by the wall clock, which goes on while the machine sleeps.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from tocsin.model.errors import StoreError
from tocsin.transports.notices import Hourly
from tocsin.wire.push.assertion import APNS_SECONDS, issued_at, provider_token

KIND = "jwt"
RENEW_AFTER = 40 * 60_000
NOT_WITHIN = 20 * 60_000
SLIP = 60_000
LOOK_SECONDS = 60.0

log = structlog.get_logger()


class Memory(Protocol):
    """Keeps small values over restarts, see `store.interface.Store`."""

    async def recall(self, kind: str) -> dict[str, bytes]: ...

    async def remember(self, kind: str, values: Mapping[str, bytes | None]) -> None: ...


def name_of(team: str, key_id: str) -> str:
    """What the token of a key is remembered under."""
    return f"{team}/{key_id}"


class ApnsCredential:
    """A signing key of APNs and its token of now.

    Both clocks tell epoch milliseconds; `clock` never steps, `wall` is compared with Apple's.
    """

    def __init__(
        self,
        key: EllipticCurvePrivateKey,
        *,
        team: str,
        key_id: str,
        memory: Memory,
        clock: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self._key = key
        self._team = team
        self._key_id = key_id
        self._memory = memory
        self._clock = clock
        self._wall = wall
        self._token = self._kept = ""
        self._made_at = self._issued_at = self._held_until = 0
        self._made = trio.Event()
        self._early = Hourly(trio.current_time)

    @property
    def name(self) -> str:
        """What its token is remembered under."""
        return name_of(self._team, self._key_id)

    @property
    def expires_at(self) -> float:
        """When its token runs out, epoch seconds; 0 as long as there is none."""
        return self._issued_at / 1000 + APNS_SECONDS if self._token else 0.0

    def token(self) -> str:
        """The token of a push that is sent now."""
        if self._is_due():
            self._make()
        return self._token

    def renew(self, refused: str) -> bool:
        """Whether there is another than the one that was refused as too old, or is one now."""
        if refused == self._token:
            if not self._may_renew():
                self._note_early()
                return False
            self._make()
        return True

    def hold(self) -> None:
        """Apple has seen too many tokens: the one of now stays for 20 minutes."""
        self._held_until = self._clock() + NOT_WITHIN

    def restore(self, kept: bytes) -> None:
        """Go on with the token of an earlier run, if it is one of this key and fresh enough."""
        token = kept.decode("ascii", errors="replace")
        issued = issued_at(token, self._key, team=self._team, key_id=self._key_id)
        age = None if issued is None else self._wall() - issued * 1000
        if issued is None or age is None or not -SLIP <= age < RENEW_AFTER:
            return
        self._kept = token
        self._take(token, issued * 1000, age)

    async def run(self) -> None:
        """Renew it in time, used or not, and have it remembered; until cancelled."""
        while True:
            self.token()
            self._made = trio.Event()
            await self._keep()
            with trio.move_on_after(LOOK_SECONDS):
                await self._made.wait()

    def _age(self) -> int:
        return max(self._clock() - self._made_at, self._wall() - self._issued_at)

    def _is_due(self) -> bool:
        if not self._token:
            return True
        is_of_the_future = self._wall() - self._issued_at < -SLIP
        return (is_of_the_future or self._age() >= RENEW_AFTER) and self._may_renew()

    def _may_renew(self) -> bool:
        return self._age() >= NOT_WITHIN and self._clock() >= self._held_until

    def _make(self) -> None:
        now = self._wall() // 1000
        token = provider_token(self._key, team=self._team, key_id=self._key_id, now=now)
        self._take(token, now * 1000, 0)
        self._made.set()

    def _take(self, token: str, issued: int, age: int) -> None:
        self._token, self._issued_at = token, issued
        self._made_at = self._clock() - max(age, 0)

    def _note_early(self) -> None:
        """Apple and we do not agree on the time."""
        if self._early.is_due(self.name):
            log.warning("push.jwt_expired_early", key_id=self._key_id, hint="check the clock")

    async def _keep(self) -> None:
        """Without a store a restart costs a token more, and nothing else."""
        token = self._token
        if token == self._kept:
            return
        try:
            await self._memory.remember(KIND, {self.name: token.encode("ascii")})
        except StoreError as error:
            log.warning("push.jwt_not_kept", key_id=self._key_id, reason=str(error))
        else:
            self._kept = token
