"""Letting sockets go before a stop, not all in the same instant (CH-60, OP-12)."""

import random

import trio

from tocsin.delivery.sessions import Sessions

RESTART = 1012


async def close_sockets(sessions: Sessions, *, window: float, rng: random.Random) -> None:
    """Close every live session 1012, spread over `window` seconds with jitter.

    So that thousands of clients do not come back in one moment. What they have not receipted
    waits in the store. Cancelled, the rest stays open for the caller to cut off.
    """
    live = sessions.all()
    rng.shuffle(live)
    start = trio.current_time()
    step = window / max(len(live), 1)
    for number, session in enumerate(live):
        await trio.sleep_until(start + step * (number + rng.random()))
        session.end(RESTART)
