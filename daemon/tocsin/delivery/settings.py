"""What an operator may set about channels, limits and retries."""

from itertools import pairwise

import attrs

from tocsin.model.option import option


def _not_decreasing(gaps: list[float]) -> str | None:
    if not gaps or min(gaps) < 0:
        return "must be a list of seconds, none negative, not empty"
    if any(later < earlier for earlier, later in pairwise(gaps)):
        return "must not decrease"
    return None


def _policies_problem(policies: dict[str, str]) -> str | None:
    wrong = next((s for s, policy in policies.items() if policy not in {"escalate", "all"}), None)
    return None if wrong is None else f"{wrong}: must be one of escalate, all"


@attrs.frozen
class ChannelSettings:
    """`[channels]`"""

    default_lifetime: int = option(
        3600,
        "Seconds a websockets channel lives without its client, unless it asks for another time.",
        minimum=60,
        maximum=86400,
    )
    restart_grace: int = option(
        60,
        "Seconds every channel is given at start, though its clock ran out meanwhile.",
        minimum=0,
        maximum=86400,
    )
    on_duplicate: str = option(
        "supersede",
        "A client's second channel: supersede takes over from the first once that is abandoned, "
        "keep leaves both, reject answers 409.",
        choices=("supersede", "keep", "reject"),
    )
    abandoned_after: float = option(
        30,
        "Seconds without socket or poll after which a channel makes way for a newer one.",
        minimum=1,
        maximum=3600,
    )
    cached_users: int = option(
        100_000,
        "Users whose channels and subscriptions are kept in memory.",
        minimum=100,
    )


@attrs.frozen
class DeliveryLimits:
    """The part of `[limits]` that bounds what is stored."""

    channels_per_user: int = option(20, "Channels one user may have.", minimum=1, maximum=60_000)
    subscriptions_per_user: int = option(50, "Subscriptions one user may have.", minimum=1)
    notification: int = option(
        65_536, "Bytes of one notification's JSON text.", minimum=1024, maximum=131_072
    )
    buffer_count: int = option(
        1000,
        "Undelivered notifications of one channel; beyond it the oldest low one goes, else the "
        "oldest.",
        minimum=1,
        maximum=100_000,
    )
    buffer_bytes: int = option(1_048_576, "The same in bytes of their JSON text.", minimum=131_072)
    backlog: int = option(
        2_000_000,
        "Undelivered deliveries in all; past it publishing is answered 503.",
        minimum=1,
    )
    remembered: int = option(
        5_000_000,
        "Rows kept in each table that tells repeats and restores what was removed, up to 100 "
        "bytes each; then the oldest go before their day is over.",
        minimum=1000,
    )


@attrs.frozen
class DeliverySettings:
    """`[delivery]`"""

    webhook_retries: list[float] = option(
        [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400],
        "Seconds before each attempt of a webhook; after the last one it is a dead letter.",
        check=_not_decreasing,
    )
    push_retries: list[float] = option(
        [0, 1, 4, 15, 60],
        "The same for pushes to devices; then every 5 minutes until the deadline.",
        check=_not_decreasing,
    )
    urgent_retries: list[float] = option(
        [0, 0.5, 1, 2, 4],
        "The same for urgent notifications; then each gap doubles, up to 30 s, until the deadline.",
        check=_not_decreasing,
    )
    jitter: float = option(
        0.2, "Each gap is stretched or shrunk by up to this share.", minimum=0, maximum=0.9
    )
    escalate_after: float = option(
        10,
        "Seconds a device's socket has for its receipt before the device is pushed to.",
        minimum=0,
        maximum=3600,
    )
    escalate_after_call: float = option(2, "The same for calls.", minimum=0, maximum=60)
    policies: dict[str, str] = option(
        {},
        "By service: escalate or all, for subscriptions that do not say; without it pushes "
        "escalate and webhooks do not.",
        check=_policies_problem,
    )
    lane_window: int = option(
        64,
        "Deliveries of one lane held in memory, at least twice its width; as many urgent ones "
        "beside them.",
        minimum=1,
    )
    settle_interval: float = option(
        0.05, "Seconds receipts are gathered before they are written.", minimum=0.001, maximum=5
    )
    dead_letter_days: int = option(30, "Days dead letters are kept.", minimum=1)
    log_days: int = option(7, "Days the delivery log is kept.", minimum=1)
    log_lines: int = option(
        5_000_000,
        "Lines of the delivery log that are kept, about 200 bytes each; then the oldest go.",
        minimum=1000,
    )
