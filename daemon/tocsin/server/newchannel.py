"""From a POST to a channel that is ready to be stored (channels.md, section 4)."""

from collections.abc import Awaitable, Callable

from tocsin.delivery.directory import Account
from tocsin.delivery.pushapps import AppRegistry
from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.errors import invalid
from tocsin.wire import channeldata
from tocsin.wire.channeldata import Data, Registration
from tocsin.wire.channelview import echoed
from tocsin.wire.dialect import Dialect
from tocsin.wire.netapi import ChannelRequest, parse_channel

JudgeUrl = Callable[[str], Awaitable[str]]
CheckSecret = Callable[[str], None]
Grant = Callable[[int | None], int]


class ChannelMaker:
    """Judges what clients ask for, member by member in the order of section 4 (CH-121).

    `judge_url` returns a webhook URL's origin, or raises ValueError (CH-81). `check_secret` raises
    ValueError for what is no webhook secret, `grant` clamps a lifetime (CH-40).
    """

    def __init__(
        self,
        *,
        judge_url: JudgeUrl,
        check_secret: CheckSecret,
        apps: AppRegistry,
        grant: Grant,
        clock: Callable[[], int],
    ) -> None:
        self._judge_url = judge_url
        self._check_secret = check_secret
        self._apps = apps
        self._grant = grant
        self._clock = clock

    async def make(
        self, document: object, dialect: Dialect, *, user: str, creator: str | None
    ) -> Channel:
        """The channel of a request, in no account yet; without a correlator if it gave none.

        Raises `RequestError` naming the first bad member. Waits only for a webhook's host name.
        """
        wanted = parse_channel(document, dialect)
        is_webhook = wanted.type is ChannelType.WEBHOOKS
        webhook = await self._webhook(wanted.data) if is_webhook else None
        now = self._clock()
        channel = Channel(
            id=Channel.new_id(wanted.type),
            user=user,
            type=wanted.type,
            created_at=now,
            client_correlator=wanted.client_correlator or "",
            application_tag=wanted.application_tag,
            creator=creator,
            lifetime=self._grant(wanted.lifetime) if wanted.expires else None,
            check_role=wanted.check_role,
            webhook=webhook,
            used_at=now if is_webhook else None,
        )
        channel.restart_clock(now)
        if wanted.type is ChannelType.LONG_POLLING:
            channel.max_notifications = channeldata.max_notifications(wanted.data)
        self._register(channel, wanted, dialect, now)
        return channel

    def _register(
        self, channel: Channel, wanted: ChannelRequest, dialect: Dialect, now: int
    ) -> None:
        """Set the device and what is echoed; a NativeChannel's token stands behind the extras."""
        registration = None
        if wanted.type is ChannelType.OMAPUSH and not wanted.is_native:
            registration = channeldata.push_device(wanted.data, self._apps.find, now=now)
        extras = channeldata.extras(wanted.data) if dialect.echoes_extras else {}
        if wanted.is_native:
            registration = self._native(wanted.data, dialect, now)
        if registration is not None:
            channel.device = registration.device
        token = "" if registration is None else registration.token
        channel.echoed = echoed(wanted.spelled, channel, extras, token) or None

    def _native(self, data: Data, dialect: Dialect, now: int) -> Registration:
        app_id = dialect.native_app_id or ""
        return channeldata.native_device(data, app_id, self._apps.find, now=now)

    async def _webhook(self, data: Data) -> Webhook:
        url = channeldata.webhook_url(data)
        try:
            origin = await self._judge_url(url)
        except ValueError:
            raise invalid("channelData.x-webhookURL") from None
        authorization, secret = channeldata.webhook_secrets(data, self._check_secret)
        return Webhook(url, origin, authorization, secret)


def stand_in(account: Account, channel: Channel) -> str:
    """The correlator of a channel whose client gave none: its own id, which pairs with nothing.

    A webhook takes that of the one it repeats, so that the same POST is the same channel (CH-80).
    """
    hook = channel.webhook
    for one in account.channels.values() if hook is not None else ():
        if (
            hook is not None
            and one.webhook is not None
            and one.client_correlator == one.id
            and (one.webhook.url, one.webhook.authorization) == (hook.url, hook.authorization)
        ):
            return one.id
    return channel.id
