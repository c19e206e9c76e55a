"""Pushes through the push transport alone, as a process of its own: a `Job` in, its `Costs` out.

Everything of an attempt is there: payload, credential, request, answer table, outcome, metrics.
The store is not.
"""

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import trio
from tests.bench.daemon import resident_bytes
from tests.fakes import pushkeys
from tests.fakes.push_world import Memory
from tests.fakes.pushes import gateway

from tocsin.delivery.pushapps import AppRegistry, PushAppSettings, PushKeySettings
from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.delivery import Delivery
from tocsin.model.outcome import Delivered
from tocsin.ops.clock import Clock
from tocsin.ops.log import configure
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.transports.push.transport import PushTransport
from tocsin.wire.push.app import PushRules

APPS = {
    "apns": PushAppSettings("apns", key="apns", topic="com.example"),
    "fcm": PushAppSettings("fcm", key="fcm"),
}
TOKENS = 1000
WARM_UP = 2000
HOUR = 3_600_000


@attrs.frozen
class Job:
    """So many pushes to `localhost:port`, `streams` at a time; `authority` is a PEM file."""

    port: int
    authority: str
    pushes: int
    provider: str = "apns"
    streams: int = 100


@attrs.frozen
class Costs:
    """Microseconds of processor time of one push, how long all took, what came of those that
    were not delivered, how many bytes the process grew by after the first tenth, and what the
    pool still held at the end: streams and waiting calls."""

    cpu: float
    seconds: float
    failures: dict[str, int]
    grown: int
    left: int


def measure(job: Job) -> Costs:
    """Push in a process of its own, and wait for its end."""
    command = [sys.executable, "-m", "tests.bench.attempts", json.dumps(attrs.asdict(job))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Costs(**json.loads(done.stdout.splitlines()[-1]))


def token(number: int) -> str:
    """A device token of APNs' form."""
    return f"{number:064x}"


def prepare(folder: Path) -> None:
    """Files for a server of static ones, which then answers every push."""
    (folder / "3/device").mkdir(parents=True)
    for number in range(TOKENS):
        (folder / "3/device" / token(number)).touch()
    (folder / "v1/projects/p-1").mkdir(parents=True)
    (folder / "v1/projects/p-1/messages:send").write_text('{"name":"projects/p-1/messages/1"}')


def _transport(job: Job, clock: Clock) -> PushTransport:
    endpoint = f"https://localhost:{job.port}"
    common = {"endpoint": endpoint, "ca_file": job.authority, "connections": 1}
    apns = {"team_id": "TEAM", "key_id": "KID", "private_key": pushkeys.p8()}
    fcm = {"service_account": pushkeys.account(), "rate": 0}
    return PushTransport(
        AppRegistry(APPS),
        PushRules(),
        {
            "apns": PushKeySettings("apns", **common, **apns),
            "fcm": PushKeySettings("fcm", **common, **fcm),
        },
        memory=Memory(),
        metrics=Metrics(),
        clock=clock,
        wall=clock,
        on_state=lambda _key, _reason: None,
        emit=lambda _name, **_fields: None,
        fetch=_grant,
    )


async def _grant(_url: str, _form: object) -> bytes:
    await trio.lowlevel.checkpoint()
    return b'{"access_token":"%s","expires_in":3600}' % (b"x" * 200)


def _deliveries(job: Job, now: int) -> Iterator[Delivery]:
    """Without end, each another one."""
    text = gateway(
        "NotifyTextMessage",
        Message="All human beings are born free and equal in dignity and rights.",
        Selector="alice@example.com",
        UserDisplayName="Bob",
        Id="m-1",
        Badge=3,
    )
    notification = attrs.evolve(text, accepted_at=now, expires_at=now + HOUR)
    devices = [Device(job.provider, job.provider, token(number)) for number in range(TOKENS)]
    channels = [
        Channel(f"ps-{number}", "u", ChannelType.OMAPUSH, now, "c", device=device)
        for number, device in enumerate(devices)
    ]
    for number, channel in enumerate(itertools.cycle(channels)):
        yield Delivery(number, notification, channel)


async def _push(
    transport: PushTransport, deliveries: Iterator[Delivery], failures: Counter[str]
) -> None:
    for delivery in deliveries:
        outcome = await transport.attempt(delivery)
        if not isinstance(outcome, Delivered):
            failures[f"{type(outcome).__name__} {outcome.reason}"] += 1


async def _run(job: Job) -> Costs:
    clock = Clock.start()
    transport = _transport(job, clock)
    deliveries = _deliveries(job, clock())
    failures: Counter[str] = Counter()

    async def push(count: int) -> None:
        some = itertools.islice(deliveries, count)
        async with trio.open_nursery() as workers:
            for _ in range(job.streams):
                workers.start_soon(_push, transport, some, failures)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run, Progress(lambda _value: None))
        await push(min(WARM_UP, job.pushes))
        started, worked = time.monotonic(), time.process_time()
        first = job.pushes // 10
        await push(first)
        resident = resident_bytes("self")
        await push(job.pushes - first)
        seconds, cpu = time.monotonic() - started, time.process_time() - worked
        grown = resident_bytes("self") - resident
        held = transport.statistics()[job.provider]
        await transport.aclose()
        nursery.cancel_scope.cancel()
    return Costs(
        cpu / job.pushes * 1e6, seconds, dict(failures), grown, held.streams + held.waiting
    )


def main() -> None:
    """Push and print; logs as the daemon does by default."""
    configure("info")
    costs = trio.run(_run, Job(**json.loads(sys.argv[1])))
    print(json.dumps(attrs.asdict(costs)))


if __name__ == "__main__":
    main()
