"""tocsin.delivery.reach: what is pushed to which app (push.md, B.4, PU-37; CH-73)."""

import pytest
from tests.fakes.deliveries import T0, notification, socket_channel

from tocsin.delivery.pushapps import AppRegistry, PushAppSettings
from tocsin.delivery.reach import STANDARD, Reach
from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.wire.push.app import PushRules

INVITATION = "wrtcsSessionInvitationNotification"
PHONE = "phone"


def device_channel(app: str, *, provider: str = "apns", correlator: str = PHONE) -> Channel:
    """The channel of an app on a phone."""
    kind = ChannelType.OMAPUSH
    device = Device(provider, app, "token")
    return Channel(Channel.new_id(kind), "u", kind, T0, correlator, device=device, key=1)


@pytest.mark.parametrize(
    ("app", "service", "root_key", "reached"),
    [
        ("app.voip", "call", INVITATION, True),
        ("app.voip", "call", "wrtcsEventNotification", False),
        ("app.voip", "chat", INVITATION, False),
        ("app", "call", "wrtcsEventNotification", True),
        ("app", "chat", "chatMessageNotification", True),
        ("app", "presence", "presenceNotification", False),
        ("app", "account", "userStatusNotification", False),
    ],
)
def test_what_an_app_gets(app: str, service: str, root_key: str, reached: bool) -> None:
    """A VoIP push that shows no call makes the system stop delivering (CH-73, PU-35); presence
    and user management are never pushed (PU-38)."""
    one = notification(service=service, root_key=root_key)
    assert STANDARD.carries(device_channel(app), one) is reached
    assert STANDARD.carries(socket_channel(), one)


def test_what_rings_is_a_matter_of_configuration() -> None:
    """`push.voip_root_keys` instead of the standard one (CH-73); `push.roots` may skip (PU-38)."""
    rules = PushRules(
        voip_root_keys=frozenset({"gone"}), roots={"inboundSMSMessageNotification": "skip"}
    )
    reach = Reach(AppRegistry({}), rules)
    for app, root_key, service, reached in (
        ("app.voip", "gone", "call", True),
        ("app.voip", INVITATION, "call", False),
        ("app", "inboundSMSMessageNotification", "sms", False),
        ("app", "smsEventNotification", "sms", True),
    ):
        one = notification(service=service, root_key=root_key)
        assert reach.carries(device_channel(app), one) is reached


def test_an_app_that_refuses_calls_is_skipped() -> None:
    """`call_without_voip` holds for the invitations of channels too (PU-36)."""
    settings = PushAppSettings("apns", call_without_voip="refuse")
    reach = Reach(AppRegistry({"app": settings}), PushRules())
    invitation = notification(service="call", root_key=INVITATION)
    assert not reach.carries(device_channel("app"), invitation)
    assert reach.carries(device_channel("other"), invitation)


def test_a_call_rings_on_the_pushkit_channel_alone() -> None:
    """Where a device has one, its alert channel gets everything else (PU-37); another device's
    PushKit channel silences nobody."""
    alert, voip = device_channel("app"), device_channel("app.voip")
    other, tab = device_channel("app", correlator="tablet"), socket_channel(correlator=PHONE)
    channels = [alert, voip, other, tab]
    invitation = notification(service="call", root_key=INVITATION)
    assert STANDARD.keep(channels, invitation) == [voip, other, tab]
    event = notification(service="call", root_key="wrtcsEventNotification")
    assert STANDARD.keep(channels, event) == [alert, other, tab]
    assert STANDARD.keep([alert, tab], invitation) == [alert, tab]
