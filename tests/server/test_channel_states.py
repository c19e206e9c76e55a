"""Channels of the daemon against a model (channels.md, section 14), through random scripts."""

import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.fakes.channel_script import Script
from tests.fakes.channel_steps import (
    Connect,
    Create,
    Delete,
    HangUp,
    Leap,
    Leave,
    Poll,
    Prolong,
    Publish,
    Restart,
    Step,
    Subscribe,
    Unsubscribe,
)
from trio.testing import MockClock

from tocsin.model.channel import ChannelType


def some(kind: type[Step], /, **members: Any) -> st.SearchStrategy[list[Step]]:
    """One step of a kind."""
    return st.builds(kind, **members).map(lambda step: [step])


def after(*steps: st.SearchStrategy[list[Step]]) -> st.SearchStrategy[list[Step]]:
    """Steps that mean something only one after the other."""
    return st.tuples(*steps).map(lambda found: list(chain.from_iterable(found)))


picks = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 4, 5])
services = st.sampled_from(["chat", "chat", "chat", "chat", "call", "presence", "sms", "account"])
kinds = st.sampled_from(
    [*[ChannelType.WEBSOCKETS] * 5, *[ChannelType.LONG_POLLING] * 3, *ChannelType]
)
create = some(
    Create,
    kind=kinds,
    correlator=st.sampled_from("aaab"),
    lifetime=st.sampled_from([None, 1, 61, 3601, 100_000]),
    role=st.sampled_from([None, "client", "server"]),
    token=st.sampled_from(["AB", "CD"]),
)
appear = after(create, some(Subscribe, pick=st.just(0), service=services))
subscribe = some(Subscribe, pick=picks, service=services)
publish = some(Publish, pick=picks, expires_in=st.sampled_from([5, 45, 3600]))
connect = some(Connect, pick=picks)
leave = some(Leave, pick=picks, code=st.sampled_from([None, 1000, 1001]))
leap = some(Leap, seconds=st.sampled_from([1.13, 13.71, 31.37, 97.93, 3700.33]))
restart = some(Restart, away=st.sampled_from([0.57, 211.91]))
poll = some(Poll, pick=picks, claim=st.sampled_from([None, None, None, -1, -2, 0]))
hang_up = some(HangUp, pick=picks)
come_back = after(publish, connect | poll)
reload = after(leave, publish, appear)
prolong = some(Prolong, pick=picks, lifetime=st.sampled_from([0, 1, 97, 10**30]))
delete, unsubscribe = some(Delete, pick=picks), some(Unsubscribe, pick=picks)
arrive = after(appear, publish, connect | poll)
usual = (
    *(appear, arrive, arrive, subscribe, publish, connect, poll, come_back),
    *(leave | hang_up, leap, leap, reload, restart, delete, prolong | unsubscribe),
)
scripts = st.tuples(arrive, st.lists(st.one_of(*usual), min_size=12, max_size=25)).map(
    lambda found: [*found[0], *chain.from_iterable(found[1])]
)


def late_and_crashed(come_back: Connect | Poll) -> list[Step]:
    """The client comes back near the end of its channel, and a moment later the daemon dies."""
    kind = ChannelType.WEBSOCKETS if isinstance(come_back, Connect) else ChannelType.LONG_POLLING
    create = Create(kind, "a", 3601, None, "AB")
    return [create, Leap(3000.1), come_back, Leap(31.3), Restart(crashed=True, away=0.57)]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scripts)
@example(late_and_crashed(Connect(0, mute=False)))
@example(late_and_crashed(Poll(0, None)))
def test_channels_behave_like_the_model(script: list[Step]) -> None:
    """Whatever clients, producers and time do, restarts and crashes among it: states, lists, 404s,
    close codes, gauges and what is pending are the model's; nothing is lost, nothing arrives late
    or out of order (CH-20 to CH-22, CH-40 to CH-45, CH-51, CH-56 to CH-58, CH-65 to
    CH-68, CH-74, CH-80, CH-91 to
    CH-93, CH-130, CH-140)."""
    clock = MockClock()
    with tempfile.TemporaryDirectory() as folder:
        trio.run(Script(Path(folder), clock).run, script, clock=clock)
