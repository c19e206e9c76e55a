"""`tocsin serve`: run the daemon."""

import faulthandler
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

import click
import structlog
import trio

from tocsin.app import App
from tocsin.cli.welcome import welcome
from tocsin.config import Config, ConfigError, doubts, load
from tocsin.model.errors import StartupError
from tocsin.ops.log import configure

FAILED = 1
BAD_CONFIGURATION = 2
STDERR = 2
# The store's thread asks for the interpreter once per statement; at the default of 5 ms a busy
# loop would make a commit of three statements wait longer than the disk does.
SWITCH_INTERVAL = 0.0005
# Most objects are long-lived (sockets, channels): look for garbage less often than the default.
GC_THRESHOLDS = (20_000, 25, 100)

log = structlog.get_logger()


@click.command()
@click.option("--config", "path", metavar="FILE", help="The configuration file.")
@click.option(
    "--welcome", "show_welcome", is_flag=True, help="Print URLs, tokens and commands to try."
)
def serve(path: str | None, *, show_welcome: bool) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    The first signal drains: sockets are closed one after the other, work in hand is finished. A
    second one ends at once; nothing that was answered 2xx is lost either way. SIGHUP has the
    configuration read again and taken over, as far as that is possible without a restart; with a
    mistake in it everything stays as it is.

    \b
    Examples:
      tocsin serve --config /etc/tocsin/tocsin.toml
      tocsin serve --config config/development.toml --welcome
    """
    try:
        config = load(path, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(BAD_CONFIGURATION)
    configure(config.log.level, config.log.format)
    faulthandler.enable(STDERR)  # systemd's watchdog sends SIGABRT: tell where we hang
    _tune()
    try:
        _tell_doubts(config)
        read = partial(_read_again, path)
        trio.run(partial(_serve, config, read, show_welcome=show_welcome))
    except* StartupError as errors:
        for failure in _leaves(errors):
            click.echo(f"tocsin: {failure}", err=True)
        sys.exit(FAILED)


def _read_again(path: str | None) -> Config:
    config = load(path, os.environ)
    _tell_doubts(config)
    return config


def _tell_doubts(config: Config) -> None:
    for doubt in doubts(config, now=time.time()):
        log.warning("config.doubtful", doubt=doubt)


async def _serve(config: Config, read: Callable[[], Config], *, show_welcome: bool) -> None:
    app = App(config)

    def ready() -> None:
        gc.freeze()
        if show_welcome:
            click.echo(welcome(config, app.public_addresses[0], app.admin_addresses[0]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_obey_signals, app, read, nursery.cancel_scope)
        await app.run(on_ready=ready)
        nursery.cancel_scope.cancel()


async def _obey_signals(app: App, read: Callable[[], Config], everything: trio.CancelScope) -> None:
    # SIGHUP is taken even where it was ignored, as nohup has it: it is how to ask for a reload.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        asked = False
        async for number in signals:
            log.info("signal.received", signal=signal.Signals(number).name)
            if number == signal.SIGHUP:
                app.reloads.ask(read)
                continue
            if asked:
                everything.cancel()
            asked = True
            app.stop()


def _tune() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(*GC_THRESHOLDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _leaves(group: BaseExceptionGroup[StartupError]) -> list[StartupError]:
    leaves: list[StartupError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
