"""Nothing secret is said by the log, the metrics, the operator API or a refusal, whatever is
asked and however badly, nor stands in a file, the store's included, where that has a master key
(security.md, SE-7; operations.md, OP-17)."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trio
from tests.end_to_end.clients import PREFIX, Caller, Platform, User, chat
from tests.end_to_end.daemon import Daemon, token, until
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.planted import Planted
from tests.end_to_end.provider import DROID, PHONE, Provider, apns, device, fcm, text
from tests.end_to_end.talkers import direct, open_room, pass_of
from tests.fakes import receiver
from tests.fakes.messaging_client import RAW, TRANSPORTS, RefusedError, connected

from tocsin.wire.scrypt import hashed

pytestmark = pytest.mark.end_to_end

ALICE = "alice@example.com"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LOUD = {"log.level": "debug", "store.master_key": "5e" * 32}
"""Everything is logged that ever is, and what is kept is sealed."""


@asynccontextmanager
async def talkative(folder: Path, **settings: object) -> AsyncIterator[Planted]:
    """A daemon that logs all; at the end it is looked for what it should not have said."""
    async with Daemon(folder, LOUD | settings) as daemon:
        planted = Planted(daemon)
        yield planted
        await planted.look_around()
        assert planted.found() == []
        daemon.terminate()
        assert await daemon.exit_status() == 0
    assert '"event":"request.refused"' in daemon.log
    assert planted.found() == []


def spoiled(bearer: str, planted: Planted) -> str:
    """The same token with another signature, which is looked for, too."""
    return planted.secret("a forged token", f"{bearer[:-8]}AAAABBBB")


async def test_tokens(tmp_path: Path) -> None:
    """Good, forged, foreign and misplaced tokens: in headers, in queries of REST, of the socket
    and of SockJS, in paths and in bodies, spelt and encoded in every way (CH-10, MS-4)."""
    async with talkative(tmp_path) as planted:
        daemon = planted.daemon
        good = planted.secret("a token", token(ALICE))
        forged = spoiled(good, planted)
        opaque = planted.secret("an opaque token", "planted~opaque+token/==")
        user = User(daemon, ALICE, bearer=good)
        channel = await user.socket_channel()
        async with open_socket(user, channel):
            pass
        socket = f"{user.channels}/{channel}/websocket"
        below = ("/messaging/info", "/messaging/websocket", "/messaging/0/s1/xhr")
        for bearer in (good, forged, opaque):
            quoted = urlencode({"access_token": bearer})
            for path in (socket, user.channels, "/v1/messaging/log", "/pnm2/send", *below):
                await planted.ask("GET", f"{path}?{quoted}")
                await planted.ask("POST", f"{path}?a=b&{quoted}&c=d", b"{")
                await planted.ask("GET", f"{path}?{quoted.replace('access', '%61ccess')}")
                await planted.ask("GET", f"{path}?{quoted}", bearer=bearer)
            await planted.ask("GET", user.channels, bearer=f"{bearer} {bearer}")
            for scheme in ("Basic", "bearer", "BEARER", "Negotiate", ""):
                shown = {"Authorization": f"{scheme} {bearer}"}
                await planted.ask("GET", user.channels, headers=shown)
                await planted.ask("POST", "/v1/notifications", b"[]", headers=shown)
            revoking = {"token": bearer, "jti": "x"}
            root = token("root", "admin")
            for body in (revoking, {"token": [bearer]}, {"token": f"{bearer} "}, {"x": bearer}):
                for path in ("/admin/v1/tokens/revoke", "/v1/messaging/revoke"):
                    await planted.ask("POST", path, body, bearer=root, address=daemon.admin)
                    await planted.ask("POST", path, body, bearer=root)
        assert (await planted.ask("GET", user.channels, bearer=good)).status == 200
        revoked = {"token": good}
        answer = await planted.ask(
            "POST",
            "/admin/v1/tokens/revoke",
            revoked,
            bearer=token("root", "admin"),
            address=daemon.admin,
        )
        assert answer.status == 204
        assert (await planted.ask("GET", user.channels, bearer=good)).status == 401


async def test_what_is_asked_of_the_token_endpoint(tmp_path: Path) -> None:
    """Passwords and client secrets, right and wrong, in forms, in bodies of another kind, in
    headers and, by mistake, in the query; and the tokens that are given for them (CH-14)."""
    client, someone = "auth.builtin.clients.platform", f'auth.builtin.users."{ALICE}"'
    password, key = "planted-pass word&1", "planted-client-key"
    settings = {
        "auth.builtin.enabled": True,
        f"{client}.secret": str(hashed(key, bytes(16))),
        f"{client}.user": "platform",
        f"{client}.scopes": ["publish"],
        f"{someone}.password": str(hashed(password, bytes(range(16)))),
        f"{someone}.scopes": ["channels"],
    }
    path = f"{PREFIX}/auth/v1/token"
    async with talkative(tmp_path, **settings) as planted:
        for what, secret in (("a password", password), ("a client secret", key)):
            planted.secret(what, secret)
            planted.secret(f"{what}, wrong", f"{secret}-wrong")
            planted.secret(f"the hash of {what}", str(settings[f"{client}.secret"]))
        login = {"grant_type": "password", "username": ALICE, "client_id": "platform"}
        project = {"grant_type": "client_credentials", "client_id": "platform"}
        for right in (True, False):
            end = "" if right else "-wrong"
            for form in (
                {**login, "password": password + end},
                {**project, "client_secret": key + end},
                {**project, "client_id": key + end, "client_secret": key},
                {**login, "username": password + end, "password": password},
                {**login, "grant_type": password + end, "password": password},
            ):
                body = urlencode(form).encode()
                answer = await planted.ask("POST", path, body, headers=FORM)
                for name in ("access_token", "id_token", "refresh_token"):
                    if given := json.loads(answer.body or b"{}").get(name):
                        planted.secret(f"an {name} of ours", given)
                await planted.ask("POST", path, form)
                await planted.ask("POST", f"{path}?{urlencode(form)}", b"", headers=FORM)
                await planted.ask("GET", f"{path}?{urlencode(form)}")
                await planted.ask("POST", path, b"%" + body + b"&password=twice", headers=FORM)
        assert "an access_token of ours" in planted.secrets


async def test_webhooks_and_what_they_are_told(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Signing secrets, old and new, authorizations, and what a message says: of channels that are
    made, refused, changed and deleted, of calls that fail in every way, and of dead letters
    (CH-70, PU-77, OP-17)."""
    answers = [receiver.reply(500), receiver.hang_up, receiver.raw(b"nonsense\r\n\r\n", keep=False)]
    hook = await receiver.start(nursery, answers=answers + [receiver.reply(410)] * 20)
    retries = {"delivery.webhook_retries": [0.01] * 4, "delivery.jitter": 0}
    async with talkative(tmp_path, **retries) as planted:
        daemon = planted.daemon
        first = planted.secret("a webhook's secret", f"whsec_{'Planted1' * 4}")
        second = planted.secret("a webhook's new secret", f"whsec_{'Planted2' * 4}")
        shown = planted.secret("an authorization", "Basic planted-authorization")
        said = planted.message("a message", "planted message text")
        user = User(daemon, ALICE)
        data: dict[str, Any] = {"x-authorization": shown, "x-webhookSecret": first}
        channel = await user.webhook_channel(hook.port, **data)
        url = f"http://127.0.0.1:{hook.port}/hook"
        for wrong in (
            {"x-webhookSecret": f"{first}!"},
            {"x-webhookSecret": [first]},
            {"x-authorization": f"{shown}\r\nX: y"},
            {"x-authorization": {"a": shown}},
            {shown: first},
            {"x-webhookURL": "http://10.0.0.1/", **data},
            {"x-webhookURL": f"http://{shown.replace(' ', ':')}@127.0.0.1/", **data},
        ):
            document = {"channelType": "Webhooks", "channelData": {"x-webhookURL": url, **wrong}}
            body = {"notificationChannel": {"clientCorrelator": "other", **document}}
            await planted.ask("POST", user.channels, body, bearer=user.bearer)
            one = f"{user.channels}/{channel}"
            await planted.ask("PUT", one, body, bearer=user.bearer)
            await planted.ask("POST", user.channels, json.dumps(body)[:-1].encode())
        await user.open_channel(
            "Webhooks", channelData={"x-webhookURL": url, **data, "x-webhookSecret": second}
        )
        platform = Platform(daemon)
        await platform.publish(chat(ALICE, said), chat(ALICE, said, id=said.replace(" ", "-")[:7]))
        bad = [chat(ALICE, said, priority=said), {**chat(ALICE, said), "service": said}, said]
        for body in (bad, {"notification": said}, [bad], json.dumps(bad)[:-1].encode()):
            await planted.ask(
                "POST", "/v1/notifications", body, bearer=token("platform", "publish")
            )
        await until(lambda: len(hook.requests) >= 4, "the webhook is called")
        assert hook.requests[0].headers["authorization"] == shown
        await user.delete(channel)


async def test_devices_and_their_providers(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Device tokens, of channels, of the gateway and of reports, good and malformed; a reporter's
    secret; keys of providers, what is made of them and what is given for them (PU-24, PU-48)."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(apns("planted-gone", 410, "Unregistered"), fcm("x", 404, "UNREGISTERED"))
    granted = {"access_token": "planted-access-token", "expires_in": 3600, "token_type": "Bearer"}
    grant = receiver.reply(200, "Content-Type: application/json", body=json.dumps(granted).encode())
    provider.tokens.answers = deque([grant] * 9)
    settings = provider.settings()
    guess = "planted-report-guess"
    settings["push.reporters.main.secret"] = "planted-report-secret"
    async with talkative(tmp_path, **settings) as planted:
        daemon = planted.daemon
        secret = planted.secret("a reporter's secret", "planted-report-secret")
        planted.secret("a guess at it", guess)
        planted.lines("Apple's key", str(settings["push.keys.apple.private_key"]))
        account = json.loads(str(settings["push.keys.google.service_account"]))
        planted.lines("Google's key", account["private_key"])
        tokens = [device(f"planted-{name}") for name in ("here", "gone", "told", "kept")]
        here, gone, told, kept = (planted.secret("a device token", one) for one in tokens)
        droid = planted.secret("a droid's token", "planted:Droid_token-0123456789")
        said = planted.message("a push's text", "planted push text")
        user = User(daemon, ALICE)
        await user.subscribe(await user.push_channel(PHONE, kept))
        await user.subscribe(await user.push_channel(PHONE, gone, clientCorrelator="second"))
        caller = Caller(daemon)
        pushes = [text(one, PHONE, Message=said) for one in (here, gone)]
        pushes.append(text(droid, DROID, Message=said))
        await caller.multisend(*pushes, *pushes)
        for bad in (f"{here}zz", f" {here}", [here], here[1:]):
            body = json.dumps(text("x", PHONE, DeviceToken=bad, Message=said)).encode()
            for path in ("/pnm2/send", "/pnm2/multisend"):
                await planted.ask("POST", path, body)
                await planted.ask("POST", path, body[:-1])
            data = {"appId": PHONE, "x-provider": "apns", "x-deviceToken": bad}
            document = {"channelType": "OMAPush", "clientCorrelator": "b", "channelData": data}
            body_ = {"notificationChannel": document}
            await planted.ask("POST", user.channels, body_, bearer=user.bearer)
        await planted.ask("GET", f"/pnm2/send?{urlencode(pushes[0])}")
        for key in (secret, guess):
            report = {
                "username": ALICE,
                "selector": "s",
                "key": key,
                "pushTokenOther": told,
                "pushappid_other": PHONE,
            }
            for fields in (report, report | {"pushTokenOther": f"{told}zz"}):
                for path in ("/push/report/main", "/push/report/other", "/push//report/main"):
                    await planted.ask("GET", f"{path}?{urlencode(fields)}")
                    await planted.ask("POST", path, urlencode(fields).encode(), headers=FORM)
                    await planted.ask("POST", f"{path}/remove?{urlencode(fields)}", b"")
        await Platform(daemon).publish(chat(ALICE, said))
        for push in await provider.pushes(4):
            given = push.headers["authorization"].split(" ")[1]
            planted.secret("what Apple is shown" if "eyJ" in given else "Google's grant", given)
        assert {"what Apple is shown", "Google's grant"} <= set(planted.secrets)
        assert said in (await provider.pushes())[0].text


async def test_messages_between_subscribers(tmp_path: Path) -> None:
    """What people write, the invite tokens of their Rooms, and by which tokens they came, on every
    transport; messages that are refused or not understood, too (MS-4, MS-32)."""
    async with talkative(tmp_path) as planted:
        daemon = planted.daemon
        said = planted.message("a message", "planted message text")
        invited = planted.secret("an invite token", "planted-invite-token")
        guess = planted.secret("a guess at it", "planted-invite-guess")
        for transport in TRANSPORTS:
            bearer = planted.secret("a token", pass_of("alice", jti=transport))
            other = planted.secret("a token", pass_of("bob", jti=transport))
            with pytest.raises(RefusedError):
                async with connected(daemon.public, spoiled(bearer, planted), transport=transport):
                    pass
            async with (
                connected(daemon.public, bearer, transport=transport) as alice,
                connected(daemon.public, other, transport=RAW) as bob,
            ):
                room = {"type": "create-channel", "name": "r", "invite-token": invited}
                made = str((await alice.ask(room)).one["channel-id"])
                join = {"type": "join-channel", "channel-id": made}
                assert not (await bob.ask(join | {"invite-token": guess})).is_ok
                assert not (await bob.ask(join | {"invite-token": [guess]})).is_ok
                assert (await bob.ask(join | {"invite-token": invited})).is_ok
                assert (await alice.ask(direct("bob", said))).is_ok
                assert not (await alice.ask(direct(f"{said}", said, dedupe_id=""))).is_ok
                assert not (await alice.ask({"type": "direct-message", said: [said]})).is_ok
                await alice.send({"type": said, "id": said, "content": said})
                other_room = await open_room(alice, said, "bob")
                await alice.ask({"type": "channel-message", "channel-id": other_room, said: said})
                await alice.send(f'{{"type":"direct-message","content":"{said}"')
                assert (await alice.ask(direct("bob", said))).is_ok
            path = f"/v1/messaging/history?peer={said}&{urlencode({'access_token': bearer})}"
            await planted.ask("GET", path.replace(" ", "+"))
        root = pass_of("root", "admin")
        for path in ("subscribers/alice", "subscribers/nobody"):
            answer = await planted.ask("GET", f"/v1/messaging/{path}?domain=local", bearer=root)
            planted.keep(path, answer)
