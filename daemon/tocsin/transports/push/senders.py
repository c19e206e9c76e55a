"""From a credential in the configuration to what pushes by it (push.md, A.7, PU-43, PU-44)."""

import random
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import attrs
import trio

from tocsin.delivery.pushapps import PushKeySettings
from tocsin.model.errors import StartupError, StoreError
from tocsin.ops.metrics import Metrics
from tocsin.transports.push.apns import ApnsSender, Route
from tocsin.transports.push.apns_credential import KIND, ApnsCredential, Memory, name_of
from tocsin.transports.push.attempt import Pool, Sender
from tocsin.transports.push.environments import Environments
from tocsin.transports.push.fcm import FcmSender
from tocsin.transports.push.fcm_credential import Emit, FcmCredential, Fetch, OnState
from tocsin.transports.push.pool import Http2Pool, OnGoaway
from tocsin.transports.push.quota import Quota
from tocsin.transports.push.tls import Origin, client_context
from tocsin.transports.push.tokenfetch import post_form
from tocsin.wire.push import fcm
from tocsin.wire.push.apns import HOSTS, pauses_key
from tocsin.wire.push.app import PushRules
from tocsin.wire.push.keys import apns_key, service_account

PAUSED = "key_paused"
PORT = 443

MakePool = Callable[[Origin, ssl.SSLContext, int, OnGoaway], Pool]


def http2_pool(
    origin: Origin, ssl_context: ssl.SSLContext, connections: int, on_goaway: OnGoaway
) -> Pool:
    """A pool of real connections."""
    return Http2Pool(origin, ssl_context=ssl_context, connections=connections, on_goaway=on_goaway)


@attrs.define
class SenderMaker:
    """Makes senders; see `PushTransport` for what it takes."""

    rules: PushRules
    memory: Memory
    metrics: Metrics
    on_state: OnState
    emit: Emit
    clock: Callable[[], int]
    wall: Callable[[], int]
    make_pool: MakePool = http2_pool
    fetch: Fetch | None = None
    jitter: Callable[[float, float], float] = random.uniform
    environments: Environments = attrs.field(factory=Environments, init=False)

    async def make(self, name: str, settings: PushKeySettings) -> Sender:
        """A sender that is not running yet; its key is parsed in a worker thread (PU-43).

        Raises StartupError for a credential that cannot be read; its text shows nothing of it.
        """
        try:
            if settings.provider == "apns":
                return await self._apns(name, settings)
            return await self._fcm(name, settings)
        except (OSError, ValueError) as error:
            raise StartupError(f"push.keys.{name}: {error}") from None

    async def tidy(self, keys: Iterable[PushKeySettings]) -> None:
        """Forget the tokens of all keys but these; what a failing store keeps, the next start
        forgets."""
        names = {name_of(one.team_id or "", one.key_id or "") for one in keys}
        with suppress(StoreError):
            gone = (await self.memory.recall(KIND)).keys() - names
            if gone:
                await self.memory.remember(KIND, dict.fromkeys(gone))

    async def _apns(self, name: str, settings: PushKeySettings) -> ApnsSender:
        key = await trio.to_thread.run_sync(apns_key, settings.private_key or "")
        credential = ApnsCredential(
            key,
            team=settings.team_id or "",
            key_id=settings.key_id or "",
            memory=self.memory,
            clock=self.clock,
            wall=self.wall,
        )
        kept = await self.memory.recall(KIND)
        credential.restore(kept.get(credential.name, b""))
        tls = await trio.to_thread.run_sync(client_context, settings.ca_file)
        return ApnsSender(
            credential,
            {
                environment: Route(self._pool(name, settings, host, tls), authority(settings, host))
                for environment, host in HOSTS.items()
            },
            rules=self.rules,
            environments=self.environments,
            clock=self.clock,
            jitter=self.jitter,
        )

    async def _fcm(self, name: str, settings: PushKeySettings) -> FcmSender:
        text = settings.service_account or ""
        account = await trio.to_thread.run_sync(service_account, text)
        credential = FcmCredential(
            name,
            account,
            fetch=self.fetch or partial(post_form, tls=await _https_context(settings.ca_file)),
            on_state=self.on_state,
            emit=self.emit,
            clock=self.clock,
            wall=self.wall,
        )
        tls = await trio.to_thread.run_sync(client_context, settings.ca_file)
        return FcmSender(
            credential,
            self._pool(name, settings, fcm.HOST, tls),
            authority=authority(settings, fcm.HOST),
            project=settings.project or account.project_id,
            quota=Quota(settings.rate, settings.ramp),
            rules=self.rules,
            clock=self.clock,
            wall=self.wall,
        )

    def _pool(self, name: str, settings: PushKeySettings, host: str, tls: ssl.SSLContext) -> Pool:
        """Connects when it is first pushed to, so that one never used costs nothing."""

        def on_goaway(debug: bytes, _code: int) -> None:
            self.metrics.push_goaways[settings.provider].inc()
            if settings.provider == "apns" and pauses_key(debug):
                self.on_state(name, PAUSED)

        origin = origin_of(settings.endpoint, host)
        return self.make_pool(origin, tls, settings.connections, on_goaway)


async def _https_context(ca_file: str) -> ssl.SSLContext:
    """For HTTP/1.1, to whoever gives access tokens."""
    make = partial(ssl.create_default_context, cafile=ca_file or None)
    return await trio.to_thread.run_sync(make)


def origin_of(endpoint: str, host: str) -> Origin:
    """Where to connect to: the provider's host, or what the operator put in its place."""
    if not endpoint:
        return Origin(host, PORT)
    parts = urlsplit(endpoint)
    return Origin(parts.hostname or host, parts.port or PORT)


def authority(settings: PushKeySettings, host: str) -> str:
    """The `:authority` of requests to there."""
    origin = origin_of(settings.endpoint, host)
    shown = f"[{origin.host}]" if ":" in origin.host else origin.host
    return shown if origin.port == PORT else f"{shown}:{origin.port}"
