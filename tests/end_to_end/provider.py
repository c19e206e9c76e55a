"""Apple and Google as the daemon sees them: `peers/h2_peer.js`, and a token endpoint over HTTPS.

    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(apns("gone", 410, "Unregistered"))
    async with Daemon(tmp_path, provider.settings()) as daemon:
        ...
        [push] = await provider.pushes(1)

It outlives the daemon. Without a rule every push is accepted.
"""

import json
import ssl
import time
from pathlib import Path
from typing import Any, Self

import attrs
import trio
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.peers.processes import Certificates, NodePeer
from tests.fakes import pushkeys, receiver

PHONE = "com.example.app"
VOIP = "com.example.app.voip"
TABLET = "com.example.tablet"
DROID = "valid.appid"
LANE = f"apns/{PHONE}"
GRANTS = 100

Rule = dict[str, Any]


def device(name: str) -> str:
    """A device token of Apple's form."""
    return name.encode().hex().ljust(64, "0")


def text(token: str, app: str, **more: object) -> dict[str, object]:
    """A push through the gateway that only shows something; its token as it is to be sent."""
    verb = "NotifyGenericTextMessage"
    return {"verb": verb, "AppId": app, "DeviceToken": token, "Message": "hello", **more}


def shown(name: str, app: str = PHONE, **more: object) -> dict[str, object]:
    """The same to one of Apple's devices."""
    return text(device(name), app, **more)


def apns(name: str, status: int, reason: str, **more: object) -> Rule:
    """Pushes to this device are answered as Apple does."""
    body: dict[str, object] = {"reason": reason}
    if status == 410:
        body["timestamp"] = time.time_ns() // 1_000_000
    return on(name, status=status, body=body, **more)


def fcm(token: str, status: int, code: str, *details: dict[str, Any], **more: object) -> Rule:
    """Pushes to this token are answered as Google does; without a code there is no FcmError."""
    error = {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
    found = [*([error] if code else []), *details]
    body = {"error": {"code": status, "message": "as the test wants it", "details": found}}
    return {"saying": f'"{token}"', "status": status, "body": body, **more}


def on(name: str, **act: object) -> Rule:
    """What is done about pushes to an Apple device, see the head of `h2_peer.js`."""
    return {"path": f"/{device(name)}$", **act}


@attrs.frozen
class Pushed:
    """One push as the provider got it; `connection` counts from 1."""

    connection: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """Its payload."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def id(self) -> str:
        """Its `apns-id`."""
        return self.headers["apns-id"]

    def is_for(self, name: str) -> bool:
        """Whether it went to this Apple device."""
        return self.headers[":path"] == f"/3/device/{device(name)}"


class Provider:
    """Both providers; `tokens` is where Google gives access tokens, for `grants` as they come."""

    def __init__(self, peer: NodePeer, tokens: receiver.Receiver, certificates: Certificates):
        self.peer = peer
        self.tokens = tokens
        self._certificates = certificates
        self._rules: list[Rule] = []

    @classmethod
    async def start(cls, nursery: trio.Nursery, folder: Path, *options: str) -> Self:
        """Run it until the nursery is cancelled; `options` are those of the peer."""
        certificates = Certificates.write(folder)
        peer = await NodePeer.start(nursery, certificates, *options)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.chain, certificates.key)
        tokens = await receiver.start(nursery, answers=[grant] * GRANTS, ssl_context=context)
        return cls(peer, tokens, certificates)

    def settings(self, **push: object) -> dict[str, object]:
        """Settings of a daemon that pushes here: Apple's `PHONE` and, by a key of its own,
        `TABLET`; Google's `DROID`. `push` are members of `[push]`."""
        here = f"https://localhost:{self.peer.origin.port}"
        account = pushkeys.account(token_uri=f"https://localhost:{self.tokens.port}/token")
        common = {"endpoint": here, "ca_file": self._certificates.authority}
        apple = {**common, "provider": "apns", "private_key": pushkeys.p8()}
        keys: dict[str, dict[str, object]] = {
            "apple": {**apple, "team_id": "ABCDE12345", "key_id": "F6G7H8J9K0"},
            "other": {**apple, "team_id": "ABCDE12345", "key_id": "L1M2N3P4Q5"},
            "google": {**common, "provider": "fcm", "service_account": account, "ramp": 0},
        }
        apps = {PHONE: "apple", TABLET: "other", DROID: "google"}
        return {
            **{f"push.{name}": value for name, value in {"ack_deadline": 20, **push}.items()},
            **{
                f"push.keys.{key}.{at}": value
                for key, one in keys.items()
                for at, value in one.items()
            },
            **{f'push.apps."{app}".key': key for app, key in apps.items()},
            **{f'push.apps."{app}".provider': keys[key]["provider"] for app, key in apps.items()},
            "delivery.push_retries": [0, *[0.1] * 50],
            "delivery.jitter": 0,
        }

    async def follow(self, *rules: Rule) -> None:
        """Follow these rules from now on, and none that were given before."""
        await self.peer.tell("rules", rules=rules)
        await self.peer.report()

    async def pushes(self, count: int = 0) -> list[Pushed]:
        """All pushes, the last 100 at most, once there are so many."""
        found: list[Pushed] = []

        async def has_come() -> bool:
            found[:] = [
                Pushed(one["connection"], one["headers"], one["body"])
                for one in (await self.peer.report())["last"]
            ]
            return len(found) >= count

        await until(has_come, f"{count} pushes have come")
        return found

    async def release(self) -> None:
        """Answer what is held."""
        await self.peer.tell("release")

    async def cut(self) -> None:
        """Cut every connection."""
        await self.peer.tell("cut")


async def waiting(daemon: Daemon, count: int) -> bool:
    """Whether so many pushes are not settled."""
    return await daemon.metric("tocsin_queue_depth", type="OMAPush") == count


async def grant(stream: trio.abc.Stream, request: receiver.Received) -> bool:
    """An access token for an hour."""
    body = b'{"access_token":"granted","expires_in":3600,"token_type":"Bearer"}'
    return await receiver.reply(200, "Content-Type: application/json", body=body)(stream, request)
