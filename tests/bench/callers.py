"""Callers of the push gateway: a daemon with apps, their providers, requests and the answers."""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from tests.bench import providers
from tests.bench.attempts import token
from tests.bench.daemon import Daemon, running
from tests.bench.http_load import Answer, Outgoing, drive, post
from tests.bench.providers import Certificates, Provider
from tests.fakes import pushkeys

MULTISEND = "/pnm2/multisend"
NORMAL, URGENT = "NotifyTextMessage", "NotifyIncomingCall"
MOST_ELEMENTS = 1000
TOKENS = 1000
CONNECTIONS = 16
PATIENCE = 60.0
# By app: whether its callers wait for the provider, and which one that is.
APPS = {"near": "durable", "refused": "durable", "hanging": "durable", "far": "provider"}
FAR = 0.05

APP = """
[push.keys.{app}]
provider = "apns"
team_id = "ABCDE12345"
key_id = "F6G7H8J9K0"
private_key = {{ file = "{folder}/apns.p8" }}
endpoint = "https://localhost:{port}"
ca_file = "{authority}"
[push.apps.{app}]
provider = "apns"
key = "{app}"
ack = "{ack}"
"""


@attrs.define
class Pushes:
    """One request, what its pushes are known by, when it was answered and how soon."""

    ids: Sequence[str]
    request: bytes
    answered_at: int = 0
    seconds: float = 0.0
    answer: bytes = b""


@attrs.define
class World:
    """A daemon, and the provider of all its apps but `far`, which is one that takes 50 ms."""

    daemon: Daemon
    provider: Provider
    _numbers: Iterator[int] = attrs.field(factory=itertools.count)

    def push(self, count: int, *, app: str = "near", verb: str = NORMAL, to: str = "") -> Pushes:
        """So many pushes as one request: to tokens in turn, or to one of this beginning."""
        numbers = list(itertools.islice(self._numbers, count))
        ids = [f"p{number}" for number in numbers]
        elements = [
            {
                "verb": verb,
                "AppId": app,
                "DeviceToken": to.ljust(64, "0") if to else token(number % TOKENS),
                "Selector": "alice@example.com",
                "UserDisplayName": "Bob",
                "Message": "All human beings are born free and equal in dignity and rights.",
                "Id": id_,
            }
            for number, id_ in zip(numbers, ids, strict=True)
        ]
        bearer = self.daemon.token("producer", "push")
        return Pushes(ids, post(MULTISEND, bearer, json.dumps(elements).encode()))

    def send(self, pushes: Sequence[Pushes], *, rate: float = 0) -> float:
        """Send requests, so many a second or as fast as answered, and note when each was; the
        share of a core that sending took. Anything but 200 is fatal."""

        def answered(answer: Answer) -> None:
            if answer.status != 200 or b'"code":200' not in answer.body:
                raise SystemExit(f"{answer.status}: {answer.body[:200].decode()}")
            one = pushes[answer.number]
            one.answered_at, one.seconds = time.monotonic_ns(), answer.seconds
            one.answer = answer.body

        start, worked = time.monotonic(), time.process_time()
        drive(
            self.daemon.port,
            (
                Outgoing(one.request, start + place / rate if rate else 0)
                for place, one in enumerate(pushes)
            ),
            connections=min(CONNECTIONS, len(pushes)),
            answered=answered,
        )
        return (time.process_time() - worked) / (time.monotonic() - start)

    def waits(self, pushes: Sequence[Pushes]) -> list[float]:
        """Milliseconds from the answer until the provider had each of these, sorted."""
        arrivals = self.provider.expect([id_ for one in pushes for id_ in one.ids], PATIENCE)
        return sorted(
            max(0.0, (arrivals[id_] - one.answered_at) / 1e6) for one in pushes for id_ in one.ids
        )


@contextlib.contextmanager
def calling(folder: Path) -> Iterator[World]:
    """All of it in a new folder, until the end."""
    folder.mkdir()
    (folder / "apns.p8").write_text(pushkeys.p8())
    certificates = Certificates.write(folder / "certificates")
    common = {"folder": folder, "authority": certificates.authority}
    with (
        providers.ours(certificates) as near,
        providers.ours(certificates, delay=FAR) as far,
    ):
        apps = "".join(
            APP.format(app=app, ack=ack, port=far.port if app == "far" else near.port, **common)
            for app, ack in APPS.items()
        )
        with running(folder / "daemon", more=apps) as daemon:
            yield World(daemon, near)
