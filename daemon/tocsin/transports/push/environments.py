"""Where the tokens of apps are known that are in both environments (push.md, C.3: auto)."""

from tocsin.wire.push.apns import OTHER

FIRST = "production"
REMEMBERED = 100_000


class Environments:
    """Remembers, of the 100,000 that came last, the tokens that work in the other environment.

    What is forgotten is found out again, for one more request.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._most = remembered
        self._others: dict[str, None] = {}

    def of(self, configured: str, token: str) -> str:
        """Where to push to first."""
        if configured != "auto":
            return configured
        return OTHER[FIRST] if token in self._others else FIRST

    def note(self, environment: str, token: str) -> None:
        """A token of an `auto` app works there."""
        known = token in self._others
        if known:
            del self._others[token]
        if environment == FIRST:
            return
        if len(self._others) >= self._most:
            del self._others[next(iter(self._others))]
        self._others[token] = None
