"""Device tokens that phone apps report, as channels of their accounts (push.md, A.8).

A report names an account, the account's place on the device (the selector) and up to two pairs of
app and token. Each pair is an `OMAPush` channel of the user, with the selector for a
clientCorrelator:

    role    what it carries                                     applicationTag
    calls   calls; a PushKit app carries nothing else (CH-73)   reported-calls
    other   everything, or what is left                         reported-other

The tag tells which channel a role has, so that a later report of another app takes its place; a
channel of the same app is taken whoever opened it, since a device has one for each app (CH-74).
Channels of other apps that a client opened itself are left alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tocsin.delivery.account import Account
from tocsin.delivery.directory import Directory
from tocsin.delivery.pushapps import AppRegistry
from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.errors import invalid
from tocsin.model.ids import new_id
from tocsin.model.services import STANDARD, Services
from tocsin.model.subscription import Subscription
from tocsin.wire.push.report import CALLS, OTHER, Pair, Report
from tocsin.wire.subscriptions import KINDS, Kind, render

TAGS: Final = {CALLS: "reported-calls", OTHER: "reported-other"}


class Reporter:
    """What one `[push.reporters.<name>]` does with reports.

    `subscribe` names services, whose subscription resources are among `kinds`.
    """

    def __init__(
        self,
        directory: Directory,
        apps: AppRegistry,
        *,
        subscribe: Iterable[str] = (),
        kinds: Sequence[Kind] = KINDS,
        services: Services = STANDARD,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._apps = apps
        self._subscribe = [
            next(kind for kind in kinds if kind.service == service) for service in subscribe
        ]
        self._services = services
        self._clock = clock

    async def report(self, report: Report) -> None:
        """Give each role its token; the same report again changes nothing but the time (PU-25).

        Raises 400 naming the field of an app nobody registered or of a malformed token, before
        anything is changed, and 403 at a quota. Durable on return.
        """
        devices = [self._device(pair) for pair in report.pairs]
        account = await self._directory.account(report.account)
        for pair, device in zip(report.pairs, devices, strict=True):
            channel = await self._register(account, report.selector, pair.role, device)
            await self._subscribe_to_all(account, channel)

    async def remove(self, user: str, selector: str | None) -> None:
        """Forget the devices of an account, all of them without a selector (PU-26)."""
        account = await self._directory.account(user)
        for channel in list(account.channels.values()):
            if channel.device is not None and selector in {None, channel.client_correlator}:
                await self._directory.remove_channel(account, channel, outcome="refused")

    def _device(self, pair: Pair) -> Device:
        app = self._apps.find(pair.app_id)
        if app is None or (app.is_voip and pair.role != CALLS):
            raise invalid(pair.app_field)
        try:
            token = app.normalise(pair.token)
        except ValueError:
            raise invalid(pair.token_field) from None
        return Device(app.provider, app.id, token, self._clock())

    async def _register(
        self, account: Account, selector: str, role: str, device: Device
    ) -> Channel:
        now = self._clock()
        wanted = Channel(
            Channel.new_id(ChannelType.OMAPUSH),
            account.user,
            ChannelType.OMAPUSH,
            now,
            selector,
            application_tag=TAGS[role],
            device=device,
        )

        def twin() -> Channel | None:
            now = self._clock()
            return account.same_app(wanted, now) or _of_role(account, wanted, now)

        return await self._directory.open_channel(account, wanted, twin=twin)

    async def _subscribe_to_all(self, account: Account, channel: Channel) -> None:
        """What the channel can carry of the services asked for; what it cannot, goes."""
        for one in account.subscriptions_of(channel):
            if not self._services.allows(one.service, channel):
                await self._directory.unsubscribe(account, one)
        for kind in self._subscribe:
            if self._services.allows(kind.service, channel):
                wanted = Subscription(new_id(), account.user, kind.service, channel)
                members = {
                    "callbackReference": {"notifyURL": channel.id},
                    "clientCorrelator": channel.client_correlator,
                }
                place = kind.place({"user": account.user})
                await self._directory.subscribe(account, wanted, render(place, wanted.id, members))


def _of_role(account: Account, wanted: Channel, now: int) -> Channel | None:
    """The channel an earlier report opened for the same role."""
    for one in account.living(now):
        if (
            one.device is not None
            and one.application_tag == wanted.application_tag
            and one.client_correlator == wanted.client_correlator
        ):
            return one
    return None
