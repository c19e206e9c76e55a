"""Who is connected: the live connections of each subscriber, and of which devices they are.

For escalation a connection is a live socket of the device it names; one that names none is a
device of its own (MS-50, MS-51). Devices go by users of the core, as push channels do.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from tocsin.messaging.link import Link


class Live:
    """Links by their subscriber's key, in order of coming.

    `on_device_left(user, correlator)` is called when the last Link of a device has gone; with None
    when the last has gone of those that named no device and counted for all.
    """

    def __init__(self, *, most: int, uncorrelated_counts_for_all: bool) -> None:
        """`most` is how many Links a subscriber may have (section 12)."""
        self._most = most
        self._uncorrelated_counts = uncorrelated_counts_for_all
        self.on_device_left: Callable[[str, str | None], None] = lambda _user, _correlator: None
        self._links: dict[int, tuple[Link, ...]] = {}
        self._devices: Counter[tuple[str, str | None]] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, key: int) -> Sequence[Link]:
        """A subscriber's Links, the oldest first; stays as it is when they come and go."""
        return self._links.get(key, ())

    def is_live(self, key: int) -> bool:
        """Whether a subscriber has any Link."""
        return key in self._links

    def has_device(self, user: str, correlator: str) -> bool:
        """Whether a device has a Link, by its own word or because of one that counts for all."""
        return (user, correlator) in self._devices or (user, None) in self._devices

    def attach(self, link: Link) -> Link | None:
        """A Link is live. Returned is the oldest where there are too many now: it is live no more
        and is to be ended 4000 "Replaced" by the caller."""
        key = link.subscriber.key
        links = (*self.of(key), link)
        self._links[key] = links
        self._count += 1
        if self._counts(link):
            self._devices[link.subscriber.user, link.correlator] += 1
        if len(links) <= self._most:
            return None
        self.detach(links[0])
        return links[0]

    def detach(self, link: Link) -> bool:
        """A Link has ended, or was replaced; no-op if it is not live. True: it was the last of
        its subscriber."""
        key = link.subscriber.key
        links = self._links.get(key, ())
        try:
            at = links.index(link)
        except ValueError:
            return False
        left = links[:at] + links[at + 1 :]
        self._count -= 1
        if left:
            self._links[key] = left
        else:
            del self._links[key]
        if self._counts(link):
            self._forget_device(link)
        return not left

    def _counts(self, link: Link) -> bool:
        return link.correlator is not None or self._uncorrelated_counts

    def _forget_device(self, link: Link) -> None:
        """A device that still has a Link that counts for all has not left."""
        user, correlator = link.subscriber.user, link.correlator
        self._devices[user, correlator] -= 1
        if self._devices[user, correlator]:
            return
        del self._devices[user, correlator]
        if (user, None) not in self._devices:
            self.on_device_left(user, correlator)
