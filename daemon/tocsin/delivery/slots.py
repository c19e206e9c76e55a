"""How many attempts may be under way in all, and how much of that one lane may have.

A far side that hangs keeps its slots for as long as an attempt may last. So a lane's share
shrinks as slots become scarce: its full width while half of them are free, a quarter of it until
three quarters are taken, then one. With 1,024 slots and a width of 8, 448 lanes may hang before
a healthy one has to wait for the end of an attempt.

Some slots may be kept: whatever hangs, only something urgent takes them.

Lanes that find none free wait in line; those with something urgent stand in one of their own,
which is served first.
"""


class Slots:
    """Counts attempts under way; decides who may start another, and who is next."""

    def __init__(self, total: int, kept: int = 0) -> None:
        """`kept` of them are for urgent ones alone."""
        self.total = total
        self.kept = kept
        self.busy = 0
        self._waiting: dict[str, None] = {}
        self._urgent: dict[str, None] = {}

    def __len__(self) -> int:
        """How many lanes wait."""
        return len(self._waiting) + len(self._urgent)

    def __contains__(self, lane: str) -> bool:
        return lane in self._urgent or lane in self._waiting

    def share(self, width: int) -> int:
        """How many of them a lane of this width may have now."""
        if 2 * self.busy < self.total:
            return width
        return max(1, width // 4) if 4 * self.busy < 3 * self.total else 1

    def free(self, *, urgent: bool, held: int = 0) -> int:
        """How many a lane may take now, `urgent` if it has something urgent, of which it holds so
        many; those that urgent ones wait for are theirs, and the kept ones are for what is held."""
        free = self.total - self.busy
        if not urgent:
            return max(0, free - max(self.kept, len(self._urgent)))
        return max(0, min(free, max(free - self.kept, held)))

    @property
    def are_scarce(self) -> bool:
        """A lane should not take more than it can start."""
        return 2 * self.busy >= self.total

    def are_taken(self, *, urgent: bool) -> bool:
        """Nobody may start another now, or nobody who has nothing urgent."""
        return self.busy >= (self.total if urgent else self.total - self.kept)

    @property
    def are_overdrawn(self) -> bool:
        """Some of the kept ones are taken: what is not urgent should not go on."""
        return self.busy > self.total - self.kept

    # -- the line ----------------------------------------------------------------------------

    @property
    def urgent_waits(self) -> bool:
        """A lane that waits has something urgent."""
        return bool(self._urgent)

    def wait(self, lane: str, *, urgent: bool) -> None:
        """Stand in line; whoever does already keeps the place, unless it has become urgent."""
        if urgent:
            self._waiting.pop(lane, None)
            self._urgent.setdefault(lane)
        elif lane not in self._urgent:
            self._waiting.setdefault(lane)

    def leave(self, lane: str) -> None:
        """Leave the line, if it stands there."""
        if self._waiting or self._urgent:
            self._waiting.pop(lane, None)
            self._urgent.pop(lane, None)

    def next(self) -> str:
        """Who is next, out of the line."""
        line = self._urgent or self._waiting
        lane = next(iter(line))
        del line[lane]
        return lane

    def reset(self) -> None:
        """Nothing is under way, nobody waits."""
        self.busy = 0
        self._waiting.clear()
        self._urgent.clear()
