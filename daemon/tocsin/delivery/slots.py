"""How many attempts may be under way in all, and how much of that one lane may have.

A far side that hangs keeps its slots for as long as an attempt may last. So a lane's share
shrinks as slots become scarce: its full width while half of them are free, a quarter of it until
three quarters are taken, then one. With 1,024 slots and a width of 8, 448 lanes may hang before
a healthy one has to wait for the end of an attempt.
"""


class Slots:
    """Counts attempts under way; decides who may start another."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.busy = 0

    def share(self, width: int) -> int:
        """How many of them a lane of this width may have now."""
        if 2 * self.busy < self.total:
            return width
        return max(1, width // 4) if 4 * self.busy < 3 * self.total else 1

    @property
    def are_scarce(self) -> bool:
        """A lane should not take more than it can start."""
        return 2 * self.busy >= self.total

    @property
    def are_taken(self) -> bool:
        """Nobody may start another now."""
        return self.busy >= self.total
