"""Under a real systemd, in a machine of namespaces, installed by the words of the guide: OP-12,
OP-14. Where the kernel gives us no such machine, all of this is skipped."""

import json
from collections.abc import Iterator
from functools import partial

import orjson
import pytest
import trio
import trustme
from tests.end_to_end.clients import PREFIX, chat, id_of
from tests.end_to_end.peers.processes import require
from tests.end_to_end.systemd_machine import UNITS, CannotBootError, Machine
from tests.end_to_end.systemd_service import CONFIG, Service, install, told, until_systemd

pytestmark = pytest.mark.end_to_end

CREDENTIALS = "CREDENTIALS_DIRECTORY=/etc/tocsin/credentials"
SCOPES = "--scope channels --scope publish"
DYNAMIC_USERS = range(61_184, 65_520)
CLIENTS = 4


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signed the certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Machine]:
    """One on which everything is installed."""
    require("systemd", "systemd")
    try:
        booted = Machine.boot(tmp_path_factory.mktemp("systemd"))
    except CannotBootError as error:
        pytest.skip(str(error))
    with booted:
        install(booted, authority)
        yield booted


async def test_the_guide(machine: Machine, authority: trustme.CA) -> None:
    """OP-12, OP-14: installed as the guide says it is active, ready and has its secret, port and
    certificate; a notification arrives; the journal has JSON lines and nothing secret."""
    without_curl = f"curl() {{ true; }}\n{told('sh', 'tocsin check')}{told('sh', 'enable --now')}"
    checked, lanes = machine.shell(without_curl).splitlines()
    assert checked == f"{CONFIG}: all right"
    assert lanes.split()[:2] == ["name", "type"]
    async with Service(machine, authority) as service:
        assert service.shows("ActiveState") == "active"
        assert await service.refuses_the_nameless()
        token = machine.shell(f"{CREDENTIALS} tocsin token create {SCOPES} --user alice").strip()
        channels = f"{PREFIX}/notificationchannel/v1/alice/channels"
        call = partial(service.ask, bearer=token)
        wanted = {"channelType": "LongPolling", "clientCorrelator": "c"}
        made = await call("POST", channels, {"notificationChannel": wanted})
        channel = made.json()["notificationChannel"]["callbackURL"]
        subscription = {"callbackReference": {"notifyURL": channel}}
        wanted_too = {"chatNotificationSubscription": subscription}
        await call("POST", f"{PREFIX}/chat/v1/alice/subscriptions", wanted_too)
        accepted = await call("POST", "/v1/notifications", chat("alice", "hello"))
        polled = await call("GET", f"{channels}/{channel}/notifications")
        [notification] = polled.json()["notificationList"]
        assert id_of(orjson.dumps(notification)) == accepted.json()["id"]
        lines = service.journal(f"_PID={service.pid}").splitlines()
        assert "daemon.ready" in {json.loads(line)["event"] for line in lines}
        assert token not in "\n".join(lines)


async def test_the_sandbox(machine: Machine, authority: trustme.CA) -> None:
    """OP-14: what the unit takes away is gone: privileges, calls, everybody else's files and
    processes; the store belongs to a user of its own, who is nobody."""
    async with Service(machine, authority) as service:
        status = dict(line.split(":\t", 1) for line in service.process("status").splitlines())
        user, *others = {int(one) for one in status["Uid"].split()}
        assert user in DYNAMIC_USERS
        assert not others
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"], status["Umask"]) == ("1", "2", "0077")
        mounts = {
            line.split()[4]: line.split()[5:] for line in service.process("mountinfo").splitlines()
        }
        assert {"ro", "nosuid"} <= set(mounts["/"][0].split(","))
        assert "subset=pid" in mounts["/proc"][-1]
        assert "ro" in mounts["/run/credentials/tocsin.service"][0].split(",")
        assert mounts["/var/lib/private/tocsin"][0].startswith("rw,")
        owned = "stat --format '%u %a' /var/lib/private/tocsin/state/tocsin.db"
        assert machine.shell(owned).split() == [str(user), "600"]
        machine.shell("systemd-analyze security --no-pager --threshold=13 tocsin.service")


async def test_a_reload(machine: Machine, authority: trustme.CA) -> None:
    """OP-7, OP-14: `systemctl status` has what came of each; the process stays."""
    async with Service(machine, authority) as service:
        pid = service.pid
        for more, said in (
            ("[ws]\nwindow = 0\n", "the reload was refused, mistakes: 1"),
            ("[ws]\nwindow = 10\n", "a restart is needed for ws.window"),
            ("", ""),
        ):
            service.configure(more)
            service.systemctl("reload", "tocsin")
            await until_systemd(
                lambda said=said: service.shows("StatusText").partition(";")[0] == said,
                f"systemd is told {said!r}",
            )
            assert (service.shows("ActiveState"), service.pid) == ("active", pid)


async def test_nobody_is_refused_over_a_restart(machine: Machine, authority: trustme.CA) -> None:
    """OP-12, OP-14: who connects while it restarts waits, and is served."""
    async with Service(machine, authority) as service:
        pid = service.pid
        broken = 0

        async def keep_asking() -> None:
            nonlocal broken
            while True:
                try:
                    assert await service.refuses_the_nameless()
                except ConnectionRefusedError:
                    raise
                except ConnectionError:
                    broken += 1

        async with trio.open_nursery() as nursery:
            for _ in range(CLIENTS):
                nursery.start_soon(keep_asking)
            await trio.run_process(machine.command("systemctl", "restart", "tocsin"))
            await service.is_another(pid)
            assert await service.refuses_the_nameless()
            nursery.cancel_scope.cancel()
        # Accepted by the one that went, and not asked anything yet.
        assert broken <= CLIENTS


async def test_a_stop_and_a_client(machine: Machine, authority: trustme.CA) -> None:
    """OP-12, OP-14: stopped it has drained and ends well; with its socket there the next client
    starts it."""
    async with Service(machine, authority) as service:
        service.systemctl("stop", "tocsin.socket", "tocsin")
        assert service.shows("ActiveState") == "inactive"
        assert (service.shows("Result"), service.shows("ExecMainStatus")) == ("success", "0")
        assert '"event":"daemon.stopped"' in service.journal("-n1", "--identifier=tocsin")
        service.systemctl("start", "tocsin.socket")
        assert await service.refuses_the_nameless()
        assert service.shows("ActiveState") == "active"


async def test_killed(machine: Machine, authority: trustme.CA) -> None:
    """OP-14: a daemon that dies is started again."""
    async with Service(machine, authority) as service:
        pid = service.pid
        machine.shell(f"kill -KILL {pid}")
        await service.is_another(pid)
        assert int(service.shows("NRestarts")) > 0


async def test_a_hang(machine: Machine, authority: trustme.CA) -> None:
    """OP-10, OP-14: a daemon that stands still is ended by the watchdog, says where it was, and
    is started again."""
    change = f"{UNITS}/tocsin.service.d/watchdog.conf"
    machine.write(change, "[Service]\nWatchdogSec=5\n")
    try:
        machine.shell("systemctl stop tocsin.socket tocsin; systemctl daemon-reload")
        async with Service(machine, authority) as service:
            pid = service.pid
            machine.shell(f"kill -STOP {pid}")
            await service.is_another(pid)
            assert "Fatal Python error: Aborted" in service.journal(f"_PID={pid}")
    finally:
        machine.shell(f"systemctl stop tocsin.socket tocsin; rm {change}; systemctl daemon-reload")


async def test_a_mistake(machine: Machine, authority: trustme.CA) -> None:
    """OP-4, OP-14: a configuration that is wrong is not tried again, unless somebody waits at the
    socket; mended, it comes up for him by itself."""
    async with Service(machine, authority) as service:
        service.systemctl("stop", "tocsin.socket", "tocsin")
        service.configure("[ws]\nwindow = 0\n")
        service.systemctl("start", "tocsin.socket")
        assert machine.run("systemctl", "start", "tocsin").returncode != 0
        assert (service.shows("SubState"), service.shows("ExecMainStatus")) == ("failed", "2")
        assert service.shows("NRestarts") == "0"
        mistake = "ws.window: must be at least 1"
        assert service.journal("-n1", "--identifier=tocsin") == f"{mistake}\n"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.refuses_the_nameless)
            await until_systemd(
                lambda: service.journal("--identifier=tocsin").count(mistake) > 1,
                "it is tried for somebody who waits",
            )
            service.configure()
        assert service.shows("ActiveState") == "active"
