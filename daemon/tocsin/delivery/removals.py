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


OnEnd = Callable[[Removal], None]


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

    async def carry_out(self, on_gone: OnEnd, on_spared: OnEnd) -> bool:
        """Remove what waits, side by side, so that removals share their commits. `on_gone` is told
        of tokens that have no channels any more, or none that somebody else is not removing;
        `on_spared` of those that have been registered again meanwhile. Then write what was
        learned of the apps. False, or cancelled: the rest still waits."""
        if self._devices is None:
            return True
        async with self._busy:
            try:
                await self._remove(self._devices, on_gone, on_spared)
                await self._devices.catch_up()
            except StoreError as error:
                log.warning("store.removal_failed", reason=str(error))
                return False
        return True

    async def _remove(self, devices: Devices, on_gone: OnEnd, on_spared: OnEnd) -> None:
        while self._waiting:
            failures: list[StoreError] = []
            async with trio.open_nursery() as nursery:
                for one in self._waiting[:AT_ONCE]:
                    nursery.start_soon(
                        self._remove_one, devices, one, (on_gone, on_spared), failures
                    )
            if failures:
                raise failures[0]

    async def _remove_one(
        self,
        devices: Devices,
        one: Removal,
        ends: tuple[OnEnd, OnEnd],
        failures: list[StoreError],
    ) -> None:
        try:
            is_gone = await devices.remove(one.channel, one.outcome, judged_at=one.judged_at)
        except StoreError as error:
            failures.append(error)
            return
        self._waiting.remove(one)
        on_gone, on_spared = ends
        (on_gone if is_gone else on_spared)(one)
