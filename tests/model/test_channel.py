"""tocsin.model.channel: ids, clocks, lanes."""

import pytest
from tests.fakes.deliveries import HOOK, T0, socket_channel, webhook_channel

from tocsin.model.channel import BY_LOWER_NAME, Channel, ChannelType, Webhook
from tocsin.model.ids import CHANNEL_ID


@pytest.mark.parametrize("kind", ChannelType)
def test_ids_tell_their_type_and_never_repeat(kind: ChannelType) -> None:
    """CH-7; a uuid4 behind a prefix."""
    ids = {Channel.new_id(kind) for _ in range(100)}
    assert len(ids) == 100
    assert all(CHANNEL_ID.fullmatch(one) and one.startswith(kind.prefix) for one in ids)


def test_names_are_spelt_as_deployed_clients_compare_them() -> None:
    """T1: `websockets` in lower case; found in any case (CH-30)."""
    assert [kind.value for kind in ChannelType] == [
        "websockets",
        "OMAPush",
        "Webhooks",
        "LongPolling",
    ]
    assert BY_LOWER_NAME["omapush"] is ChannelType.OMAPUSH


def test_a_clock_restarts_with_the_full_lifetime() -> None:
    """CH-41, CH-43: over at its end, not before."""
    channel = socket_channel(lifetime=60)
    assert not channel.is_over(T0 + 59_999)
    assert channel.is_over(T0 + 60_000)
    channel.restart_clock(T0 + 59_999)
    assert channel.expires_at == T0 + 119_999


def test_how_long_a_clock_has_run() -> None:
    """What tells how old the stored clock of a client that comes back is (CH-41)."""
    channel = socket_channel(lifetime=60)
    channel.restart_clock(T0)
    assert [channel.seconds_run(T0 + ms) for ms in (0, 500, 59_000)] == [0, 0.5, 59]
    assert webhook_channel().seconds_run(T0) == 0


def test_a_channel_without_a_lifetime_has_no_clock() -> None:
    """CH-42: Webhooks do not expire."""
    channel = webhook_channel()
    channel.restart_clock(T0)
    assert channel.expires_at is None
    assert not channel.is_over(T0 * 2)


def test_how_long_a_receiver_is_left_alone() -> None:
    """PU-79, PU-81: until then, a day at most; a clock that was set back does not make it more."""
    channel = webhook_channel()
    assert channel.held_for(T0) == 0
    channel.held_until = T0 + 60_000
    assert [channel.held_for(T0 + ms) for ms in (0, 59_999, 60_000)] == [60_000, 1, 0]
    assert channel.held_for(T0 - 86_400_000) == 0


def test_who_comes_to_us_has_no_lane() -> None:
    """Only the others have a far side."""
    assert (webhook_channel().lane, socket_channel().lane) == (HOOK, None)
    assert [kind for kind in ChannelType if kind.is_polled] == [
        ChannelType.WEBSOCKETS,
        ChannelType.LONG_POLLING,
    ]


def test_secrets_are_not_shown() -> None:
    """CH-31: not by accident in a log either."""
    hook = Webhook("https://x/", "https://x", authorization="Bearer t0p", secret="whsec_s3")
    assert "t0p" not in repr(hook)
    assert "s3" not in repr(hook)
