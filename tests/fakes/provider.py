"""A stand-in for APNs and FCM to try pushes with, and what it takes to be believed.

    python -m tests.fakes.provider --prepare FOLDER     makes keys and certificates
    python -m tests.fakes.provider 9443 FOLDER          serves, and shows what it gets

It takes every push but those to tokens that begin with `dead`, which are gone.
"""

import sys
from pathlib import Path
from typing import Any

import orjson
import trio
import trustme
from hypercorn.config import Config
from hypercorn.trio import serve
from tests.fakes.pushkeys import account, p8

Scope = dict[str, Any]
HIDDEN = frozenset({"authorization", "content-length", "content-type", "accept", "user-agent"})


def prepare(folder: Path, port: int = 9443) -> None:
    """Make what is not there yet: a certificate and its authority, a key for APNs, a service
    account for FCM."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "service-account.json").exists():
        return
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "apns.p8").write_text(p8())
    token_uri = f"https://localhost:{port}/token"
    (folder / "service-account.json").write_text(account(token_uri=token_uri))


async def provider(scope: Scope, receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    _show(scope, body)
    status, answer = _answer(scope["path"], body)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _live(receive: Any, send: Any) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


def _answer(path: str, body: bytes) -> tuple[int, bytes]:
    if path == "/token":
        return 200, b'{"access_token":"stand-in","token_type":"Bearer","expires_in":3600}'
    if path.startswith("/3/device/"):
        if path.startswith("/3/device/dead"):
            return 410, b'{"reason":"Unregistered"}'
        return 200, b""
    if orjson.loads(body)["message"].get("token", "").startswith("dead"):
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        details = [{"@type": kind, "errorCode": "UNREGISTERED"}]
        return 404, orjson.dumps({"error": {"code": 404, "details": details}})
    return 200, b'{"name":"projects/p-1/messages/1"}'


def _show(scope: Scope, body: bytes) -> None:
    print(scope["method"], scope["path"], f"(HTTP/{scope['http_version']})")
    for name, value in scope["headers"]:
        if name.decode() not in HIDDEN and not name.startswith(b":"):
            print(f"{name.decode()}: {value.decode()}")
    if scope["path"] != "/token":
        print(body.decode())
    print(flush=True)


def main(*arguments: str) -> None:
    """Run it as the first lines of this file say."""
    if arguments[0] == "--prepare":
        prepare(Path(arguments[1]))
        return
    port, folder = int(arguments[0]), Path(arguments[1])
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.certfile = config.keyfile = str(folder / "server.pem")
    config.loglevel = "WARNING"
    trio.run(serve, provider, config)


if __name__ == "__main__":
    main(*sys.argv[1:])
