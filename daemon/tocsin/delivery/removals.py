"""Device tokens to be removed, from the judgement until the store has it (push.md, PU-48)."""

from collections.abc import Callable

import attrs
import structlog
import trio

from tocsin.delivery.devices import Devices
from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Gone
from tocsin.store.records import Claimed

AT_ONCE = 100

log = structlog.get_logger()


@attrs.frozen(eq=False)
class Removal:
    """A token that was found gone by an attempt that began at `judged_at` (epoch milliseconds)."""

    claimed: Claimed
    channel: Channel
    outcome: Gone
    judged_at: int


class Removals:
    """What waits to be removed; bounded by the settler, as part of what it has gathered."""

    def __init__(self, devices: Devices | None) -> None:
        self._devices = devices
        self._waiting: list[Removal] = []
        # The settler may be at it while somebody has it flushed, who must not return before.
        self._busy = trio.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_work(self) -> bool:
        """Whether `carry_out` has anything to do."""
        return bool(self._waiting) or (self._devices is not None and self._devices.has_work)

    def add(self, removal: Removal) -> None:
        """Have a token removed by the next `carry_out`."""
        self._waiting.append(removal)

    async def carry_out(self, on_spared: Callable[[Removal], None]) -> bool:
        """Remove what waits, side by side, so that removals share their commits; `on_spared` is
        told of tokens that have been registered again meanwhile. Then write what was learned of
        the apps. False, or cancelled: the rest still waits."""
        if self._devices is None:
            return True
        async with self._busy:
            try:
                await self._remove(self._devices, on_spared)
                await self._devices.catch_up()
            except StoreError as error:
                log.warning("store.removal_failed", reason=str(error))
                return False
        return True

    async def _remove(self, devices: Devices, on_spared: Callable[[Removal], None]) -> None:
        while self._waiting:
            failures: list[StoreError] = []
            async with trio.open_nursery() as nursery:
                for one in self._waiting[:AT_ONCE]:
                    nursery.start_soon(self._remove_one, devices, one, on_spared, failures)
            if failures:
                raise failures[0]

    async def _remove_one(
        self,
        devices: Devices,
        one: Removal,
        on_spared: Callable[[Removal], None],
        failures: list[StoreError],
    ) -> None:
        try:
            is_gone = await devices.remove(one.channel, one.outcome, judged_at=one.judged_at)
        except StoreError as error:
            failures.append(error)
            return
        self._waiting.remove(one)
        if not is_gone:
            on_spared(one)
