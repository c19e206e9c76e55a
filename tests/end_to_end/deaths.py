"""How the daemon dies in the tests that kill, and comes back."""

import random

import attrs
import trio
from tests.end_to_end.daemon import Daemon

START_SECONDS = 1.5


@attrs.define
class Deaths:
    """Kills the daemon and starts it again; `kinds` counts how it died."""

    daemon: Daemon
    rng: random.Random
    kinds: dict[str, int] = attrs.field(factory=dict)

    async def die(self) -> None:
        """SIGKILL, at any moment: at work, amid a drain, or amid the start after that."""
        await trio.sleep(self.rng.uniform(0, 0.02))
        kind = self.rng.choice(("at work", "at work", "at work", "draining", "starting"))
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if kind == "draining":
            self.daemon.terminate()
            await trio.sleep(self.rng.uniform(0, 0.3))
        await self.daemon.kill()
        if kind == "starting":
            with trio.move_on_after(self.rng.uniform(0, START_SECONDS)):
                await self.daemon.start()
            await self.daemon.kill()
        await self.daemon.start()
