"""TLS on the public listener, over real sockets (OP-7, OP-8)."""

import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import orjson
import pytest
import trio
import trustme
from tests.end_to_end.daemon import BOUND, Daemon, command, defaults, token, until, write_config
from tests.end_to_end.http_connection import http_connection
from trio_websocket import WebSocketConnection, wrap_client_stream

pytestmark = pytest.mark.end_to_end

ALICE, ENGINES = "alice", ("reactor", "trio-websocket")
CHANNELS = f"/cpaas/notificationchannel/v1/{ALICE}/channels"
RELOADED = '"event":"config.reloaded"'


class Authority:
    """Who signs the daemon's certificates."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.context = ssl.create_default_context()
        self._authority.configure_trust(self.context)

    def settings(self, name: str = "first") -> dict[str, object]:
        """Options that have the daemon use a new certificate."""
        leaf = self._authority.issue_cert("127.0.0.1")
        chain, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        leaf.cert_chain_pems[0].write_to_path(str(chain))
        leaf.private_key_pem.write_to_path(str(key))
        return {"tls.certificate.file": str(chain), "tls.key.file": str(key)}


@attrs.frozen
class Client:
    """One user over https."""

    daemon: Daemon
    context: ssl.SSLContext

    async def ask(self, method: str, path: str, body: Any = None, scope: str = "channels") -> Any:
        """Send a request; what its answer says."""
        headers = {"Authorization": f"Bearer {token(ALICE, scope)}"}
        async with httpx.AsyncClient(verify=self.context, trust_env=False, timeout=30) as client:
            url = f"https://{self.daemon.public}{path}"
            answer = await client.request(method, url, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def channel(self, kind: str, data: dict[str, object]) -> str:
        """A new channel of this type, subscribed to sms; its id."""
        made = await self.ask(
            "POST",
            CHANNELS,
            {
                "notificationChannel": {
                    "clientCorrelator": kind,
                    "channelType": kind,
                    "channelData": data,
                }
            },
        )
        id_ = str(made["notificationChannel"]["resourceURL"]).rpartition("/")[2]
        notify = {"callbackReference": {"notifyURL": id_}, "clientCorrelator": kind}
        await self.ask(
            "POST",
            f"/cpaas/smsmessaging/v1/{ALICE}/inbound/subscriptions",
            {"subscription": notify},
        )
        return id_

    async def publish(self, texts: list[str]) -> None:
        """An sms for each text."""
        for start in range(0, len(texts), 50):
            items = [
                {
                    "user": ALICE,
                    "service": "sms",
                    "notification": {"inboundSMSMessageNotification": {"x": one}},
                }
                for one in texts[start : start + 50]
            ]
            told = await self.ask("POST", "/v1/notifications", items, "publish")
            assert {one["status"] for one in told} == {"accepted"}

    @asynccontextmanager
    async def socket(self, channel: str) -> AsyncIterator[WebSocketConnection]:
        """The channel's WebSocket."""
        host, _, port = self.daemon.public.rpartition(":")
        path = f"{CHANNELS}/{channel}/websocket?access_token={token(ALICE)}"
        stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=self.context)
        async with stream, trio.open_nursery() as tasks:
            yield await wrap_client_stream(tasks, stream, self.daemon.public, path)
            tasks.cancel_scope.cancel()

    async def serial(self) -> str:
        """Of the certificate a new connection is shown."""
        host, _, port = self.daemon.public.rpartition(":")
        stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=self.context)
        async with stream:
            await stream.do_handshake()
            return str(stream.getpeercert()["serialNumber"])


async def is_there(daemon: Daemon, channel: str) -> bool:
    """Whether an operator is shown that the channel's client is connected."""
    headers = {"Authorization": f"Bearer {token('operator', 'admin')}"}
    async with http_connection(daemon.admin) as connection:
        answer = await connection.request("GET", f"/admin/v1/channels/{channel}", headers=headers)
    return bool(answer.json()["channel"]["connected"])


async def heard(socket: WebSocketConnection) -> str:
    """The text of the next notification."""
    with trio.fail_after(BOUND):
        return str(orjson.loads(await socket.get_message())["inboundSMSMessageNotification"]["x"])


@pytest.mark.parametrize("engine", ENGINES)
async def test_socket_poll_and_large_backlog(tmp_path: Path, engine: str) -> None:
    """OP-8: REST, a WebSocket with more than any buffer holds, and a poll that is held while
    nothing comes."""
    authority = Authority(tmp_path)
    async with Daemon(tmp_path, {**authority.settings(), "ws.engine": engine}) as daemon:
        client = Client(daemon, authority.context)
        socket_channel = await client.channel("websockets", {"type": "nc:WebsocketsData"})
        texts = [f"{number} {'x' * 3000}" for number in range(300)]
        await client.publish(texts)
        async with client.socket(socket_channel) as socket:
            assert [await heard(socket) for _ in texts] == texts
            poll_channel = await client.channel("LongPolling", {"maxNotifications": 5})
            answers: list[Any] = []

            async def poll() -> None:
                answers.append(await client.ask("GET", f"{CHANNELS}/{poll_channel}/notifications"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(poll)
                await until(lambda: is_there(daemon, poll_channel), "the poll has come")
                await client.publish(["there"])
            assert "there" in orjson.dumps(answers).decode()
            assert await heard(socket) == "there"


async def test_another_certificate_disconnects_nobody(tmp_path: Path) -> None:
    """OP-7: after a reload new connections see the new one, and those that are there go on; a
    broken one changes nothing."""
    authority = Authority(tmp_path)
    async with Daemon(tmp_path, authority.settings()) as daemon:
        client = Client(daemon, authority.context)
        channel = await client.channel("websockets", {"type": "nc:WebsocketsData"})
        first = await client.serial()
        async with client.socket(channel) as socket:
            authority.settings()  # the same files
            daemon.signal(signal.SIGHUP)
            await until(lambda: RELOADED in daemon.log, "it is taken over")
            second = await client.serial()
            assert second != first
            (tmp_path / "first.pem").write_text("nothing of the kind")
            daemon.signal(signal.SIGHUP)
            await until(lambda: "config.reload_failed" in daemon.log, "it is refused")
            assert await client.serial() == second
            await client.publish(["still here"])
            assert await heard(socket) == "still here"
        assert await daemon.metric("tocsin_tls_certificate_expiry_timestamp_seconds") > 0


async def test_http_on_the_https_port(tmp_path: Path) -> None:
    """Whoever forgets the s is told so; what speaks neither costs nothing but a count."""
    authority = Authority(tmp_path)
    async with Daemon(tmp_path, authority.settings()) as daemon:
        host, _, port = daemon.public.rpartition(":")
        for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00\x01\x02\x03nonsense"):
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(said)
                answer = b"".join([part async for part in stream])
                assert answer.startswith(b"HTTP/1.1 400 ") == said.startswith(b"GET")
        series = "tocsin_tls_handshakes_failed_total"
        assert await daemon.metric(series, reason="plain_http") == 1
        assert await daemon.metric(series, reason="protocol") == 1
        assert len(await Client(daemon, authority.context).serial()) > 4


async def test_a_bad_certificate_is_no_start(tmp_path: Path) -> None:
    """OP-6: a key of another certificate is said before anything is served."""
    authority, other = Authority(tmp_path), Authority(tmp_path)
    settings = authority.settings()
    settings["tls.key.file"] = other.settings("second")["tls.key.file"]
    file = write_config(tmp_path / "bad.toml", {**defaults(tmp_path), **settings})
    done = await trio.run_process(
        command("check", "--config", str(file)), capture_stderr=True, check=False
    )
    assert done.returncode == 2
    assert b"tls: the key is not that of the first certificate" in done.stderr
