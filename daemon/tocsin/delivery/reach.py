"""Which notifications are pushed to which apps (push.md, B.4 and PU-37; channels.md, CH-73)."""

from collections.abc import Collection

from tocsin.delivery.pushapps import AppRegistry
from tocsin.model.channel import Channel, Device
from tocsin.model.notification import Notification
from tocsin.model.services import app_carries
from tocsin.wire.push.app import App, PushRules
from tocsin.wire.push.roots import INVITATION, is_for


class Reach:
    """Judges channels with a device; others it does not look at."""

    def __init__(self, apps: AppRegistry, rules: PushRules) -> None:
        self._apps = apps
        self._rules = rules

    def reconfigure(self, apps: AppRegistry, rules: PushRules) -> None:
        """Other apps, other rules from now on."""
        self._apps = apps
        self._rules = rules

    def carries(self, channel: Channel, notification: Notification) -> bool:
        """Whether a channel may get this notification at all."""
        device = channel.device
        return device is None or (
            app_carries(notification.service, device)
            and is_for(notification.root_key, self._app(device), self._rules)
        )

    def keep(self, channels: Collection[Channel], notification: Notification) -> list[Channel]:
        """Those that get it; an invitation goes to a device's PushKit channel, where it has one,
        and not to its other channels (PU-37)."""
        kept = [one for one in channels if self.carries(one, notification)]
        if notification.root_key != INVITATION:
            return kept
        ringing = {
            (one.user, one.client_correlator)
            for one in kept
            if one.device is not None and one.device.is_voip
        }
        return [
            one
            for one in kept
            if one.device is None
            or one.device.is_voip
            or (one.user, one.client_correlator) not in ringing
        ]

    def _app(self, device: Device) -> App:
        """One that is registered no more is judged by what its id says."""
        kind = "voip" if device.is_voip else "alert"
        return self._apps.find(device.app, device.provider) or App(
            device.app, device.provider, kind=kind
        )


STANDARD = Reach(AppRegistry({}), PushRules())
