"""What an operator may set about calling webhooks."""

from collections.abc import Mapping

import attrs

from tocsin.model.option import option
from tocsin.wire.addresses import networks_problem
from tocsin.wire.endpoint import host_of, hosts_problem, normal_host
from tocsin.wire.retryafter import DAY
from tocsin.wire.webhook import secret_problem


@attrs.frozen
class HostSettings:
    """`[webhooks.hosts.<host>]`"""

    lane_width: int | None = option(
        None, "Requests under way to each of its origins.", minimum=1, maximum=256
    )
    total_timeout: float | None = option(
        None, "Seconds for a whole attempt.", minimum=1, maximum=30
    )


def _hosts_problem(hosts: Mapping[str, HostSettings]) -> str | None:
    problem = hosts_problem(list(hosts))
    if problem is not None:
        return problem
    wrong = next((host for host in hosts if host != normal_host(host)), None)
    return None if wrong is None else f"{wrong!r}: must be written {normal_host(wrong)!r}"


@attrs.frozen
class WebhookSettings:
    """`[webhooks]`"""

    connect_timeout: float = option(
        5, "Seconds for name, connection and TLS together.", minimum=0.1, maximum=30
    )
    total_timeout: float = option(15, "Seconds for a whole attempt.", minimum=1, maximum=30)
    lane_width: int = option(8, "Requests under way to one origin.", minimum=1, maximum=256)
    max_sockets: int = option(
        1024, "Connections in all; beyond it the one idle longest is closed.", minimum=1
    )
    allow_http: list[str] = option([], "Hosts that may be called without TLS.", check=hosts_problem)
    allow_networks: list[str] = option(
        [], "Networks that may be called although they are not public.", check=networks_problem
    )
    deny_networks: list[str] = option(
        [], "Networks that may not be called although they are public.", check=networks_problem
    )
    signing_secret: str | None = option(
        None,
        "Signs for channels without a secret of their own: whsec_ and base64 of 24-64 bytes.",
        check=secret_problem,
        secret=True,
    )
    echo_secrets: bool = option(False, "Answers show x-authorization instead of stars.")
    unanswered_retries: int = option(
        2,
        "Attempts in a row that may go unanswered before another makes a dead letter.",
        minimum=0,
        maximum=100,
    )
    collect_unused_days: int = option(
        30, "Days after which a webhook without any subscription is removed.", minimum=1
    )
    suspend_after_days: int = option(
        5, "Days of failures without one success after which a webhook is suspended.", minimum=1
    )
    rotation_grace: float = option(
        DAY, "Seconds for which the secret before the last one signs, too.", minimum=0
    )
    retry_after_max: float = option(
        DAY, "Seconds a Retry-After may ask for.", minimum=0, maximum=DAY
    )
    hosts: dict[str, HostSettings] = option(
        {}, "Hosts that are called in their own way.", check=_hosts_problem
    )

    def width_of(self, lane: str) -> int:
        """How many requests may be under way to an origin."""
        own = self.hosts.get(host_of(lane))
        return self.lane_width if own is None or own.lane_width is None else own.lane_width

    def timeout_of(self, host: str) -> float:
        """Seconds for a whole attempt at a host."""
        own = self.hosts.get(host)
        return self.total_timeout if own is None or own.total_timeout is None else own.total_timeout
