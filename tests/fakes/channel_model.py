"""Channels as section 14 of channels.md has them: what the daemon has to agree with.

One user's channels, subscriptions and deliveries; time in seconds, given by the caller. Every
method changes the model as the call it is named after changes the daemon, and returns what the
daemon has to answer.
"""

import attrs

RANKS = {"call": 0, "chat": 1, "sms": 1, "account": 1, "presence": 2}
SERVICES_OF = {
    "websockets": {"sms", "chat", "call", "presence"},
    "LongPolling": {"sms", "chat", "call", "presence"},
    "OMAPush": {"sms", "chat", "call"},
    "Webhooks": set(RANKS),
}
POLLED = ("websockets", "LongPolling")
SHORTEST, LONGEST, USUAL = 60, 86_400, 3600
ABANDONED_AFTER = 30
GRACE = 60
HELD = LINGERING = 30
PATIENCE = 90
UNCHECKED_PATIENCE = 360
CLOCK_SHARE, CLOCK_SLACK = 8, 60
CHANNELS, SUBSCRIPTIONS = 4, 6


@attrs.define(eq=False)
class Leg:
    """A notification on its way to one channel; `seq` once it was written.

    `doubtful`: its receipt may have been lost with a crash.
    """

    id: str
    service: str
    order: int
    accepted_at: float
    expires_at: float
    seq: int | None = None
    doubtful: bool = False

    @property
    def place(self) -> tuple[int, int, int]:
        """Written ones in their order, then the others, urgent first (CH-56, CH-58)."""
        if self.seq is not None:
            return 0, 0, self.seq
        return 1, RANKS[self.service], self.order


@attrs.define(eq=False)
class ModelChannel:
    """One channel. `heard_at` is None while nobody is connected; `shown` are the legs that an
    open socket got and has not receipted. `subscriptions`: since when, by service.

    `shuffled`: a crash or a take-over leaves it open in which order the next ones come.
    A polled channel counts as connected while `heard_at`, the end of its last poll, is set;
    `positions` are those its client was told.
    `unsure_from`: after a crash, the earliest that `expires_at` may be.
    """

    id: str
    kind: str
    correlator: str
    left_at: float
    lifetime: int | None = None
    expires_at: float | None = None
    role: str | None = None
    token: str | None = None
    subscriptions: dict[str, float] = attrs.field(factory=dict)
    waiting: list[Leg] = attrs.field(factory=list)
    shown: list[Leg] = attrs.field(factory=list)
    heard_at: float | None = None
    mute: bool = False
    left_cleanly: bool = False
    last_seq: int = 0
    answered_seq: int = 0
    held_until: float | None = None
    positions: list[tuple[str, int]] = attrs.field(factory=list)
    shuffled: bool = False
    unsure_from: float | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a socket is open."""
        return self.heard_at is not None

    @property
    def lost_at(self) -> float | None:
        """When a client is given up that does not come back or never said how often it checks;
        None for one that answers, or whose poll is held (CH-57, CH-66)."""
        if self.heard_at is None or self.held_until is not None:
            return None
        if self.kind == "LongPolling":
            return self.heard_at + LINGERING
        patience = UNCHECKED_PATIENCE if self.role == "client" else PATIENCE
        return self.heard_at + patience if self.mute else None

    def is_abandoned(self, now: float) -> bool:
        """CH-45."""
        return (
            self.kind in POLLED
            and not self.is_connected
            and (self.left_cleanly or now - self.left_at >= ABANDONED_AFTER)
        )

    def restart_clock(self, now: float) -> None:
        """CH-41."""
        self.expires_at = None if self.lifetime is None else now + self.lifetime

    def write(self, now: float) -> list[Leg]:
        """What goes to the client now; if it answers, for good."""
        due = [leg for leg in self.waiting if leg.expires_at > now and leg not in self.shown]
        due.sort(key=lambda leg: leg.place)
        for leg in due:
            if leg.seq is None:
                self.last_seq += 1
                leg.seq = self.last_seq
        if self.mute:
            self.shown += due
        else:
            self.waiting = [leg for leg in self.waiting if leg not in due]
        return due

    def renumber(self, legs: list[Leg]) -> None:
        """These came in this order, which counts from here on."""
        for leg, seq in zip(legs, sorted(leg.seq or 0 for leg in legs), strict=True):
            leg.seq = seq
        self.shuffled = False

    def confirm(self, there: list[Leg], lost: list[Leg]) -> None:
        """Doubts are settled: these were still to come, those had been receipted."""
        for leg in there:
            leg.doubtful = False
        self.waiting = [leg for leg in self.waiting if leg not in lost]

    def leave(self, now: float, *, cleanly: bool = False) -> None:
        """The socket is gone."""
        self.heard_at, self.left_at, self.left_cleanly = None, now, cleanly
        self.held_until = None


@attrs.define(eq=False)
class ChannelModel:
    """Alice's channels, the oldest first, and the ids of those that are gone."""

    now: float = 0.0
    channels: dict[str, ModelChannel] = attrs.field(factory=dict)
    gone: list[str] = attrs.field(factory=list)
    settled: list[tuple[ModelChannel, Leg]] = attrs.field(factory=list)
    _orders: int = 0

    # -- resources ---------------------------------------------------------------------------

    def existing(self, kind: str, correlator: str) -> ModelChannel | None:
        """The channel that a POST of this kind stands for again (CH-74, CH-80)."""
        if kind in POLLED:
            return None
        for one in self.channels.values():
            if (one.kind, one.correlator) == (kind, correlator):
                return one
        return None

    def make_room(self, correlator: str) -> bool:
        """Whether there is a place, an abandoned one's if need be (CH-140)."""
        if len(self.channels) < CHANNELS:
            return True
        for one in self.channels.values():
            if one.correlator == correlator and one.is_abandoned(self.now):
                self.delete(one)
                return True
        return False

    def create(self, channel: ModelChannel) -> None:
        """A new channel; its clock runs."""
        channel.restart_clock(self.now)
        self.channels[channel.id] = channel

    def register(self, channel: ModelChannel, token: str) -> None:
        """The token of a device; an older channel that has it goes (CH-74)."""
        channel.token = token
        for one in list(self.channels.values()):
            if one is not channel and one.token == token:
                self.delete(one)

    def delete(self, channel: ModelChannel) -> None:
        """With everything that belongs to it; final (CH-21, CH-130)."""
        del self.channels[channel.id]
        channel.waiting.clear()
        self.gone.append(channel.id)

    def subscribe(self, channel: ModelChannel, service: str) -> int:
        """The status: a repeat is answered as the first, older channels make way (CH-45)."""
        if service not in SERVICES_OF[channel.kind]:
            return 403
        if service in channel.subscriptions:
            return 201
        older = []
        for one in self._pair(channel):
            if one is channel:
                break
            if one.is_abandoned(self.now) and service in one.subscriptions:
                older.append(one)
        held = sum(len(one.subscriptions) for one in self.channels.values())
        if held - len(older) >= SUBSCRIPTIONS:
            return 403
        channel.subscriptions[service] = self.now
        for one in older:
            self._take_over(one, channel, service, until=self.now)
        return 201

    def _pair(self, channel: ModelChannel) -> list[ModelChannel]:
        """The channels of one client that it comes to, oldest first."""
        if channel.kind not in POLLED:
            return [channel]
        return [
            one
            for one in self.channels.values()
            if one.kind in POLLED and one.correlator == channel.correlator
        ]

    def _take_over(
        self, old: ModelChannel, heir: ModelChannel, service: str, *, until: float
    ) -> None:
        has = {leg.order for leg in heir.waiting}
        receipted = {leg.order for channel, leg in self.settled if channel is heir}
        for leg in list(old.waiting):
            if leg.service == service and leg.accepted_at <= until and leg.order not in has:
                old.waiting.remove(leg)
                doubtful = leg.doubtful or leg.order in receipted
                heir.waiting.append(attrs.evolve(leg, seq=None, doubtful=doubtful))
                heir.shuffled = True
        del old.subscriptions[service]
        if not old.subscriptions:
            self.delete(old)

    # -- deliveries --------------------------------------------------------------------------

    def publish(self, id_: str, service: str, expires_in: float) -> int:
        """How many channels it goes to."""
        channels = [one for one in self.channels.values() if service in one.subscriptions]
        self._orders += 1
        for one in channels:
            expires_at = self.now + expires_in
            one.waiting.append(Leg(id_, service, self._orders, self.now, expires_at))
        return len(channels)

    def written(self, channel: ModelChannel) -> list[Leg]:
        """What an open socket gets now."""
        if not channel.is_connected:
            return []
        legs = channel.write(self.now)
        if not channel.mute:
            self.settled += [(channel, leg) for leg in legs]
        return legs

    # -- polls -------------------------------------------------------------------------------

    def poll(self, channel: ModelChannel, claim: int | None) -> None:
        """A poll begins: what the client has is over, what the one before held comes back
        empty (CH-65 to CH-67)."""
        upto = channel.answered_seq if claim is None else claim
        channel.answered_seq = upto
        channel.waiting = [leg for leg in channel.waiting if leg.seq is None or leg.seq > upto]
        channel.restart_clock(self.now)
        channel.heard_at, channel.held_until = self.now, self.now + HELD

    def answered(self, channel: ModelChannel) -> list[Leg]:
        """What a held poll is answered now; nothing if it stays held."""
        channel.mute, channel.shown = True, []
        legs = channel.write(self.now)
        if legs:
            channel.answered_seq = legs[-1].seq or 0
            channel.held_until, channel.heard_at = None, self.now
        return legs

    # -- time --------------------------------------------------------------------------------

    def connect(self, channel: ModelChannel, *, mute: bool) -> None:
        """A socket opens, maybe in place of an older one (CH-51)."""
        channel.heard_at, channel.mute = self.now, mute
        channel.shown = []
        channel.restart_clock(self.now)

    def speak(self) -> None:
        """Whoever answers has just been heard."""
        for one in self.channels.values():
            if one.is_connected and one.kind == "websockets" and not one.mute:
                one.heard_at = self.now
                one.restart_clock(self.now)

    def tick(self, now: float, moved: set[tuple[str, str]]) -> None:
        """What goes by the clock, all at this moment.

        `moved`: subscriptions, as channel and service, that the daemon has let newer channels
        take over from a client that said good-bye; it may, and must after the usual time.
        """
        self.now = now
        self.settled.clear()
        for one in self.channels.values():
            if one.held_until is not None and one.held_until <= now:
                one.held_until, one.heard_at = None, now
            if one.lost_at is not None and one.lost_at <= now:
                one.leave(one.heard_at or now if one.kind == "LongPolling" else now)
        for one in list(self.channels.values()):
            if one.expires_at is not None and one.expires_at <= now:
                self.delete(one)
        for one in list(self.channels.values()):
            if one.is_abandoned(now):
                self._pass_on(one, moved, must=now - one.left_at >= ABANDONED_AFTER)
        for one in self.channels.values():
            one.waiting = [leg for leg in one.waiting if leg.expires_at > now]

    def _pass_on(self, old: ModelChannel, moved: set[tuple[str, str]], *, must: bool) -> None:
        """Newer channels take over what they have subscribed to as well."""
        pair = self._pair(old)
        newer = pair[pair.index(old) + 1 :]
        for service in list(old.subscriptions):
            heirs = [one for one in newer if service in one.subscriptions]
            if heirs and (must or (old.id, service) in moved):
                heir = heirs[-1]
                self._take_over(old, heir, service, until=heir.subscriptions[service])

    def restart(self, now: float, *, crashed: bool) -> None:
        """The process ended and another one is here (CH-44, CH-130)."""
        if crashed:
            for channel, leg in self.settled:
                if channel.id in self.channels:
                    channel.waiting.append(attrs.evolve(leg, doubtful=True))
        self.settled.clear()
        self.now = now
        for one in self.channels.values():
            one.leave(now, cleanly=one.left_cleanly and not one.is_connected)
            one.answered_seq = 0
            one.shuffled |= crashed
            if one.expires_at is not None and one.lifetime is not None:
                if crashed:
                    stored = one.expires_at - one.lifetime / CLOCK_SHARE - CLOCK_SLACK
                    one.unsure_from = max(stored, now + GRACE)
                one.expires_at = max(one.expires_at, now + GRACE)

    def deadlines(self) -> list[float]:
        """Moments too close to which it is open what has happened."""
        found = []
        for one in self.channels.values():
            found += [one.left_at + ABANDONED_AFTER, *(leg.expires_at for leg in one.waiting)]
            found += [] if one.expires_at is None else [one.expires_at]
            found += [at for at in (one.lost_at, one.held_until) if at is not None]
        return found
