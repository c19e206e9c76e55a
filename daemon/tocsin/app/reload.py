"""Another configuration while everything runs (OP-7; push.md, PU-20).

What can fail comes first, and changes nothing: the file is read and checked as at the start, the
credentials are loaded. Then all is taken over at one instant, by calls that neither wait nor fail,
so that no request and no attempt sees half of it. Requests and attempts under way end by what they
began with.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
import structlog
import trio

from tocsin.app.parts import Parts
from tocsin.app.pushing import Senders
from tocsin.config import Config, ConfigError, differences, merged
from tocsin.delivery.pushapps import PushKeySettings
from tocsin.model.errors import StartupError, StoreError
from tocsin.ops.log import configure
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.ops.systemd import Notifier
from tocsin.server.auth import key_source
from tocsin.server.jwks import KeySource, RemoteKeys

SHOWN = 20

Load = Callable[[], Config]

log = structlog.get_logger()


class Renew(Protocol):
    """Has all listeners answer as a configuration says; never waits."""

    def __call__(self, config: Config, keys: KeySource) -> None:
        """From now on."""


@attrs.frozen
class _Prepared:
    """Everything that another configuration needs, made and found right."""

    config: Config
    keys: KeySource
    senders: Senders
    left: list[str]


class Reloader:
    """Reloads one after the other, as often as asked.

    `config` is the configuration in force: at first the one of the start, then that with what
    could be taken over of each later one.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        *,
        keys: KeySource,
        renew: Renew,
        metrics: Metrics,
        notifier: Notifier,
    ) -> None:
        self.config = config
        self._parts = parts
        self._keys = keys
        self._renew = renew
        self._metrics = metrics
        self._notifier = notifier
        self._asked = trio.Event()
        self._load: Load | None = None

    def ask(self, load: Load) -> None:
        """Have `run` reload, or reload once more if it is at it. `load` is called in a thread and
        may raise StartupError."""
        self._load = load
        self._asked.set()

    async def run(self, progress: Progress) -> None:
        """Reload when asked, until cancelled; a reload that is cancelled has changed nothing."""
        progress.ready()
        while True:
            progress.waiting("a reason to reload")
            await self._asked.wait()
            self._asked = trio.Event()
            progress.beat()
            if self._load is not None:
                await self.reload(self._load)

    async def reload(self, load: Load) -> None:
        """Take over what `load` gives; on any mistake everything stays as it is, and an operator
        is told."""
        self._notifier.reloading()
        status = ""
        try:
            prepared = await self._prepare(load)
        except ConfigError as error:
            status = self._refuse(error.problems)
        except (StartupError, StoreError) as error:
            status = self._refuse([str(error)])
        else:
            status = self._take_over(prepared)
        finally:
            self._notifier.ready(status)

    async def _prepare(self, load: Load) -> _Prepared:
        """Raises ConfigError, StartupError, StoreError."""
        running = self.config

        def read() -> tuple[Config, list[str], KeySource]:
            wanted = load()
            config = merged(running, wanted)
            return config, differences(config, wanted), _keys(config, self._keys)

        config, left, keys = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        changed = _changed(running.push.keys, config.push.keys)
        senders = await self._parts.pushing.transport.make_senders(changed)
        return _Prepared(config, keys, senders, left)

    def _take_over(self, prepared: _Prepared) -> str:
        """What `systemctl status` says of it."""
        changed = differences(self.config, prepared.config)
        log_changed = prepared.config.log != self.config.log
        self.config, self._keys = prepared.config, prepared.keys
        if log_changed:
            configure(self.config.log.level, self.config.log.format)
        self._parts.reconfigure(self.config, prepared.senders)
        self._renew(self.config, self._keys)
        self._metrics.config_last_reload.set_to_current_time()
        self._parts.events.emit("config.reloaded", changed=changed)
        if not prepared.left:
            return ""
        log.warning("config.restart_needed", options=prepared.left)
        return f"a restart is needed for {', '.join(prepared.left[:SHOWN])}"

    def _refuse(self, problems: list[str]) -> str:
        """The same."""
        self._metrics.config_reload_failures.inc()
        self._parts.events.emit(
            "config.reload_failed", problems=problems[:SHOWN], mistakes=len(problems)
        )
        return f"the reload was refused, mistakes: {len(problems)}; the first: {problems[0]}"


def _keys(config: Config, running: KeySource) -> KeySource:
    """Keys that are fetched go on being fetched; a file of them is read again."""
    return running if isinstance(running, RemoteKeys) else key_source(config.auth)


def _changed(
    running: Mapping[str, PushKeySettings], wanted: Mapping[str, PushKeySettings]
) -> dict[str, PushKeySettings | None]:
    """The credentials that are new or others, None for those that are gone."""
    names = running.keys() | wanted.keys()
    return {
        name: wanted.get(name) for name in sorted(names) if running.get(name) != wanted.get(name)
    }
