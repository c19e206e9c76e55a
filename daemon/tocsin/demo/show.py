"""A whole demo: set up, told, accounted for, and gone."""

import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import attrs
import trio
from rich.console import Console

from tocsin.demo.child import started
from tocsin.demo.credentials import HOST, Credentials
from tocsin.demo.ledger import Ledger
from tocsin.demo.phone import APP, phone
from tocsin.demo.report import Json, Report
from tocsin.demo.screen import Screen
from tocsin.demo.stage import PHONE, WEBHOOK, Stage, took
from tocsin.demo.story import Story
from tocsin.demo.webhook import Webhook

SETTLING_SECONDS = 3.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Short enough that nobody has to wait for it, and too few for the breaker to open.
RETRIES = [0, 0.5, 1, 2, 2, *[4] * 10]


@attrs.frozen(kw_only=True)
class Demo:
    """`patience` is for how many seconds after the start arrivals are waited for, `pause` how many
    there are before each act."""

    patience: float
    pause: float
    restarts_webhook: bool

    async def run(self, folder: Path, console: Console) -> Report | None:
        """Show it; the daemon lives in `folder`. None when a signal has ended it (Ctrl-C, SIGTERM,
        SIGHUP): then, too, nothing is left running. DemoError where it cannot be shown."""
        report = None
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at_first, signals, nursery.cancel_scope)
                report = await self._show(folder, console)
                nursery.cancel_scope.cancel()
        return report

    async def _show(self, folder: Path, console: Console) -> Report:
        ledger = Ledger()
        screen = Screen(console, ledger, self.pause)
        ledger.on_arrival = screen.arrived
        with screen.live():
            await screen.act("A daemon is started, a webhook's receiver, and a stand-in for APNs")
            begun = time.monotonic()
            attempts = await self._perform(folder, screen)
        report = Report.of(ledger, attempts, time.monotonic() - begun)
        screen.finish(report)
        return report

    async def _perform(self, folder: Path, screen: Screen) -> list[Json]:
        """Everything that is to happen; the delivery log of it."""
        credentials = Credentials.make(folder, time.time())
        ledger = screen.ledger
        with Webhook.reserve(partial(took, ledger, WEBHOOK)) as webhook:
            async with (
                phone(credentials, partial(took, ledger, PHONE)) as port,
                started(folder, _settings(credentials, port)) as daemon,
            ):
                stage = Stage(daemon, ledger)
                await stage.open_channels(webhook.port)
                deadline = trio.current_time() + self.patience
                await Story(stage, webhook, screen, deadline, self.restarts_webhook).tell()
                with trio.move_on_after(SETTLING_SECONDS):
                    await stage.see_settled()
                return await stage.attempts()


def _settings(credentials: Credentials, phone_port: int) -> dict[str, object]:
    """What differs from the defaults: the stand-ins are on this machine, and nobody has time."""
    key = {
        "provider": "apns",
        "team_id": "DEMO123456",
        "key_id": "DEMO123456",
        "private_key": credentials.push_key,
        "endpoint": f"https://{HOST}:{phone_port}",
        "ca_file": str(credentials.certificate),
    }
    app = {"provider": "apns", "key": "demo"}
    return {
        "webhooks.allow_http": [HOST],
        "webhooks.allow_networks": [f"{HOST}/32"],
        "delivery.webhook_retries": RETRIES,
        **{f"push.keys.demo.{name}": value for name, value in key.items()},
        **{f'push.apps."{APP}".{name}': value for name, value in app.items()},
    }


async def _cancel_at_first(signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
    async for _ in signals:
        everything.cancel()
