"""Subscriptions of projects, by the portal's path (CH-96)."""

from pathlib import Path
from typing import Any

import pytest
import trio
from tests.fakes import receiver
from tests.fakes.daemon import PUBLISH, USER, Daemon, daemon, token
from tests.fakes.subscriptions import ACCOUNT, ENVELOPES, PROJECT, ask_for, listed, subscribe

URL = "callbackReference.notifyURL"
STATUS = {"userStatusNotification": {"status": "suspended"}}
DENIED = (403, "POL0001", ["project_mismatch"])


def item(user: str) -> dict[str, Any]:
    return {"user": user, "service": "account", "notification": STATUS}


async def everything(running: Daemon, path: str, bearer: str) -> list[Any]:
    """What GET, POST and DELETE of the collection and of one in it say."""
    asked = [
        await running.get(path, bearer=bearer),
        await running.post(path, {}, bearer=bearer),
        await running.get(f"{path}/zz", bearer=bearer),
        await running.delete(f"{path}/zz", bearer=bearer),
    ]
    return [answer.status if answer.status < 300 else answer.refusal for answer in asked]


ADMITTED = [
    200,
    (400, "SVC0002", ["projectSubscription"]),
    (404, "SVC0004", ["subscriptionId"]),
    (404, "SVC0004", ["subscriptionId"]),
]


@pytest.mark.parametrize(
    ("bearer", "answers"),
    [
        (token(project="shop"), ADMITTED),
        (token("bob", project="shop"), ADMITTED),
        (token(scope="admin"), ADMITTED),
        (token(scope="admin", project="other"), ADMITTED),
        (token(), [DENIED] * 4),
        (token(project="other"), [DENIED] * 4),
        (token(project="Shop"), [DENIED] * 4),
        (token(project=["shop"]), [DENIED] * 4),
        (token(project=True), [DENIED] * 4),
        (token(scope="publish", project="shop"), [(403, "POL0001", ["scope_missing"])] * 4),
    ],
)
async def test_who_may_act_for_a_project(tmp_path: Path, bearer: str, answers: list[Any]) -> None:
    """`admin`, or a token whose claim is the project; told before the body is looked at (CH-13,
    CH-96)."""
    async with daemon(tmp_path) as running:
        assert await everything(running, PROJECT, bearer) == answers


async def test_the_claim_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """`auth.project_claim` (CH-96)."""
    async with daemon(tmp_path, auth={"project_claim": "prj"}) as running:
        assert await everything(running, PROJECT, token(prj="shop")) == ADMITTED
        assert await everything(running, PROJECT, token(project="shop")) == [DENIED] * 4


@pytest.mark.parametrize(
    ("account", "project"), [("acme%2Fwest", "shop"), ("acme", "west%2Fshop"), ("%2F", "shop")]
)
async def test_a_project_has_no_slash(tmp_path: Path, account: str, project: str) -> None:
    """`a/b` + `c` and `a` + `b/c` would be one user: neither is let in (CH-96)."""
    path = PROJECT.replace("acme", account).replace("shop", project)
    async with daemon(tmp_path) as running:
        for name in ("shop", "west/shop"):
            assert await everything(running, path, token(project=name)) == [DENIED] * 4


async def test_notifications_of_a_project(tmp_path: Path) -> None:
    """They are published under `{acct}/{proj}` and reach the webhook of the token's user, who is
    told nothing of anybody else's (CH-96)."""
    async with trio.open_nursery() as nursery, daemon(tmp_path) as running:
        hook = await receiver.start(nursery, answers=[receiver.reply(200, "Connection: close")])
        arrived = trio.Event()
        hook.on_request = lambda _request: arrived.set()
        channel = await running.open_webhook(f"http://127.0.0.1:{hook.port}/hook")
        await subscribe(running, PROJECT, channel)
        items = [item("acme/shop"), item(USER), item("shop"), item("acme/other")]
        answer = await running.post(PUBLISH, items, scope="publish")
        assert [one["channels"] for one in answer.json] == [1, 0, 0, 0]
        with trio.fail_after(30):
            await arrived.wait()
        assert b'"userStatusNotification"' in hook.requests[0].body
        nursery.cancel_scope.cancel()


async def test_a_person_and_a_project_of_one_name(tmp_path: Path) -> None:
    """The account path of a user called `acme/shop` and the project's are two places (CH-90)."""
    async with daemon(tmp_path) as running:
        made = await subscribe(running, PROJECT, await running.open_webhook())
        persons = ACCOUNT.replace(USER, "acme%2Fshop")
        admin = token(scope="admin")
        answer = await running.get(persons, bearer=admin)
        assert answer.json["projectSubscriptionList"]["projectSubscription"] == []
        id_ = made["resourceURL"].rpartition("/")[2]
        assert (await running.get(f"{persons}/{id_}", bearer=admin)).status == 404


async def test_the_channel_is_the_token_users_own(tmp_path: Path) -> None:
    """Nobody points a project at somebody else's channel, `admin` neither (CH-91, CH-96)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_webhook()
        body = {ENVELOPES[PROJECT]: {"callbackReference": {"notifyURL": channel["callbackURL"]}}}
        for bearer in (token("bob", project="shop"), token("root", scope="admin")):
            answer = await running.post(PROJECT, body, bearer=bearer)
            assert answer.refusal == (400, "SVC0002", [URL])
        answer = await running.post(PROJECT, body, bearer=token(scope="admin"))
        assert answer.status == 201


async def test_a_project_belongs_to_all_who_may_act_for_it(tmp_path: Path) -> None:
    """What one made the other finds and deletes; each has a channel of his own (CH-96)."""
    async with daemon(tmp_path) as running:
        made = await subscribe(running, PROJECT, await running.open_webhook())
        bob = token("bob", project="shop")
        assert (await running.get(made["resourceURL"], bearer=bob)).status == 200
        assert (await running.delete(made["resourceURL"], bearer=bob)).status == 204
        assert await listed(running, PROJECT) == []


async def test_the_end_of_the_channel_is_the_end_of_its_subscriptions(tmp_path: Path) -> None:
    """A project's too, though they are another account's; after a restart as well (CH-21)."""
    async with daemon(tmp_path) as running:
        kept = await running.open_webhook("http://127.0.0.1:65535/kept")
        await subscribe(running, PROJECT, kept)
        for _ in range(2):
            channel = await running.open_webhook()
            await subscribe(running, PROJECT, channel)
            assert len(await listed(running, PROJECT)) == 2
            assert (await running.delete(channel["resourceURL"])).status == 204
            assert len(await listed(running, PROJECT)) == 1
        channel = await running.open_webhook()
        await subscribe(running, PROJECT, channel)
    async with daemon(tmp_path) as running:
        assert (await running.delete(channel["resourceURL"])).status == 204
        [left] = await listed(running, PROJECT)
        assert left["callbackReference"]["notifyURL"] == kept["callbackURL"]
        answer = await running.post(PUBLISH, item("acme/shop"), scope="publish")
        assert answer.json["channels"] == 1


async def test_only_webhooks_carry_accounts(tmp_path: Path) -> None:
    """CH-93, on the portal's path (T10)."""
    async with daemon(tmp_path) as running:
        answer = await ask_for(running, PROJECT, await running.open_channel())
        assert answer.refusal == (403, "POL0001", ["service_not_on_channel"])
