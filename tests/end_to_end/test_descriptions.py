"""Anything that the descriptions allow, and much that they do not, against the real daemon (OP-19).

The requests are made up by schemathesis from the document that the daemon itself serves. The same
seed makes the same ones.
"""

import base64
import sys
import time
from pathlib import Path

import orjson
import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat
from tests.end_to_end.daemon import BOUND, SECRET, Daemon, environment, until
from tests.fakes import receiver
from tests.fakes.asyncapi import spoken

from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

pytestmark = pytest.mark.end_to_end

SEED = "20"
EXAMPLES = "12"
PATIENCE = 4 * BOUND
CHECKS = (
    *("status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
)
# What is held back for a while comes at once, and what would be open forever ends.
IMPATIENT: dict[str, object] = {
    "longpoll.hold": 0,
    "push.ack_deadline": 0.1,
    "messaging.sockjs.heartbeat_delay": 0.1,
    "messaging.sockjs.response_limit": 1,
    "messaging.chat_page": True,
    "auth.builtin.enabled": True,
    "push.reporters.main.auth": "bearer",
}


def everything() -> str:
    """A token that may do anything, so that requests get far."""
    claims = {"sub": "alice", "preferred_username": "alice", "client_id": "fuzzer"}
    scope = "admin publish push messaging"
    key = shared_secret(SECRET)
    return mint({**claims, "scope": scope}, key, now=time.time(), lifetime=3600)


async def ask_anything(folder: Path, address: str) -> None:
    """Run schemathesis against a listener; AssertionError with what it complains of."""
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    options = {
        "--checks": ",".join(CHECKS),
        "--phases": "coverage,fuzzing",
        "--seed": SEED,
        "--max-examples": EXAMPLES,
        "--header": f"Authorization: Bearer {everything()}",
        "--request-timeout": str(BOUND),
        "--suppress-health-check": "all",
        "--generation-database": "none",
        "--warnings": "off",
    }
    words = [word for pair in options.items() for word in pair]
    with trio.fail_after(PATIENCE):
        ended = await trio.run_process(
            [
                *command,
                "run",
                f"http://{address}/openapi.json",
                "--no-color",
                "--no-shrink",
                "--continue-on-failure",
                *words,
            ],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment(),
            cwd=folder,
        )
    if ended.returncode:
        raise AssertionError((ended.stdout + ended.stderr).decode())


@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_every_answer_is_a_described_one(tmp_path: Path, listener: str) -> None:
    """Whatever is asked, status, media type, headers and body of the answer are described, and the
    daemon logs no error (OP-19, SE-6)."""
    async with Daemon(tmp_path, IMPATIENT) as daemon:
        await ask_anything(tmp_path, getattr(daemon, listener))
        errors = [line for line in daemon.log.splitlines() if '"level":"error"' in line]
        assert errors == []


async def test_webhooks_are_as_described(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Headers and body of what is POSTed to a channel's webhook, signed or not, are described
    (OP-19, CH-82)."""
    hook = await receiver.start(nursery)
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    async with Daemon(tmp_path) as daemon:
        user = User(daemon, "alice")
        await user.webhook_channel(hook.port)
        await user.webhook_channel(
            hook.port, "/signed", **{"x-webhookSecret": secret, "x-authorization": "Bearer t"}
        )
        await Platform(daemon).publish(chat("alice", "hello"))
        await until(lambda: len(hook.requests) == 2, "both have it")
    for request in hook.requests:
        named = {"authorization": "Authorization"}
        headers = {named.get(name, name): value for name, value in request.headers.items()}
        spoken().check_headers("webhook", headers)
        spoken().check("webhook", orjson.loads(request.body))
    assert ["webhook-signature" in one.headers for one in hook.requests].count(True) == 1
