"""The daemon does its job under the restrictions of its unit (OP-14); `sandbox` says which of them
are put on it here, and which are not."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import trio
import trustme
from tests.end_to_end.clients import Platform, User, chat, id_of
from tests.end_to_end.daemon import BOUND, environment, until
from tests.end_to_end.launched import Launched
from tests.end_to_end.library_socket import library_socket
from tests.end_to_end.peers.processes import require
from tests.end_to_end.provider import PHONE, Provider, device
from tests.end_to_end.talkers import direct, talk
from tests.fakes import receiver

pytestmark = pytest.mark.end_to_end

UNIT = Path(__file__).parents[2] / "systemd" / "tocsin.service"
SANDBOX = Path(__file__).parent / "sandbox.py"
NOBODY = 65_534
PROBE = """
import ctypes, json, mmap, os, socket
attempts = {
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "executable memory": lambda: mmap.mmap(-1, 4096, prot=7),
    "nice": lambda: os.nice(1),
    "chown": lambda: os.chown(".", 0, 0),
    "other files": lambda: open("../other", "w"),
    "memory of the machine": lambda: open("/proc/meminfo"),
    "state": lambda: open("probe", "w"),
    "inet": lambda: socket.socket(),
}
refused = []
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        refused.append(name)
if ctypes.CDLL(None).unshare(0x20000):
    refused.append("unshare")
print(json.dumps(refused))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may look into, with `state` for the daemon's user alone."""
    made = Path(tempfile.mkdtemp(prefix="tocsin-"))
    made.chmod(0o755)
    state = made / "state"
    state.mkdir(0o700)
    if os.getuid() == 0:
        os.chown(state, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=["calls", "all"])
def sandbox(request: pytest.FixtureRequest, folder: Path) -> list[str]:
    """What comes before the command."""
    require("systemd-analyze", "systemd")
    extent: str = request.param
    if extent == "calls" and os.getuid() == 0:
        os.chown(folder / "state", 0, 0)
    before = [sys.executable, str(SANDBOX), str(UNIT), extent, str(folder / "state"), "--"]
    tried = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    if extent == "all" and "unshare" in tried.stderr:
        pytest.skip("no right to make a mount namespace")
    assert tried.returncode == 0, tried.stderr
    return before


def test_it_refuses_what_it_should(sandbox: list[str], folder: Path) -> None:
    """The sandbox is one: what the unit does not allow fails in it, and what it allows does not."""
    done = subprocess.run(
        [*sandbox, sys.executable, "-c", PROBE],
        cwd=folder / "state",
        env=environment(),
        capture_output=True,
        check=True,
    )
    refused = {"netlink", "executable memory", "nice", "chown", "unshare"}
    if "all" in sandbox:
        refused |= {"other files"}
        # Only root may mount another /proc.
        refused |= {"memory of the machine"} if os.getuid() == 0 else set()
    assert set(json.loads(done.stdout)) == refused


async def test_the_whole_job(sandbox: list[str], folder: Path, nursery: trio.Nursery) -> None:
    """OP-14: sockets, webhooks, pushes with TLS over HTTP/2, messaging, the store, a reload and a
    restart get on with the calls, files and addresses that the unit leaves them."""
    hook = await receiver.start(nursery)
    provider = await Provider.start(nursery, folder)
    async with Launched(folder, provider.settings(), before=sandbox) as daemon:
        user = User(daemon, "alice@local")
        channel = await user.socket_channel()
        await user.webhook_channel(hook.port)
        await user.subscribe(await user.push_channel(PHONE, device("phone"), clientCorrelator="p"))
        with trio.fail_after(BOUND):
            async with library_socket(user, channel) as socket:
                [id_] = await Platform(daemon).publish(chat(user.name, "hello"))
                assert id_of(await socket.get_message()) == id_
        [push] = await provider.pushes(1)
        assert push.body["chatMessageNotification"]["id"] == id_
        await until(lambda: hook.requests, "the webhook is called")
        async with talk(daemon, "bob") as bob, talk(daemon, "carol") as carol:
            assert (await carol.ask(direct("bob", "hi"))).is_ok
            assert (await bob.next("direct-message"))["content"] == "hi"
        daemon.terminate()
        assert await daemon.exit_status() == 0
        await daemon.start()
        assert (await user.call("GET", f"{user.channels}/{channel}")).status == 200
        assert '"level":"error"' not in daemon.log


async def test_certificate_and_credentials(sandbox: list[str], folder: Path) -> None:
    """OP-5, OP-8: certificates are loaded, also anew, without a file to write them to; a secret is
    found in the folder that systemd makes for credentials."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(chain))
    key.write_bytes(leaf.private_key_pem.bytes())
    settings = {
        "tls.certificate.file": str(chain),
        "tls.key.file": str(key),
        "webhooks.signing_secret.credential": "signing",
    }
    (folder / "signing").write_text("whsec_" + "QUFB" * 8 + "\n")
    environ = {"CREDENTIALS_DIRECTORY": str(folder)}
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with Launched(folder, settings, before=sandbox, environ=environ) as daemon:
        host, _, port = daemon.public.rpartition(":")
        with trio.fail_after(BOUND):
            stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=context)
            async with stream:
                await stream.send_all(b"GET /v1/notifications HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = await stream.receive_some()
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["requestError"]
