"""tocsin.delivery.gates, and the lanes that stand before them (PU-53, PU-46, PU-87)."""

import math

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0, device_channel
from tests.fakes.phones import Phones
from tests.fakes.world import World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.eventhook import EventHook
from tocsin.delivery.events import Events
from tocsin.delivery.gates import Gates
from tocsin.delivery.pushapps import AppRegistry, PushAppSettings
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.ops.metrics import Metrics

QUICK = DeliverySettings(webhook_retries=[0.5] * 100, jitter=0)
A, B, OTHER, FCM = "com.example.a", "com.example.b", "com.example.other", "com.example.android"
APPS = {
    A: PushAppSettings("apns", key="main"),
    B: PushAppSettings("apns", key="main"),
    OTHER: PushAppSettings("apns", key="second"),
    FCM: PushAppSettings("fcm", key="google"),
}


def refused(word: Word = Word.PAUSE_KEY) -> Deferred:
    """403, the credential or the app."""
    words = frozenset({word})
    return Deferred("credential", 60.0, 403, sign=Sign.CONTACT, words=words)


def exhausted(seconds: float | None = None) -> Deferred:
    """429 for the whole project."""
    words = frozenset({Word.PAUSE_QUOTA})
    return Deferred("quota", seconds, 429, sign=Sign.CONTACT, words=words)


class Told(EventHook):
    """Remembers what an operator is told."""

    def __init__(self, world: World) -> None:
        self.events: list[tuple[str, object, object]] = []
        world.events.hook = self

    def offer(self, name: str, at: int, fields: object) -> None:
        """See EventHook."""
        assert isinstance(fields, dict)
        who = fields.get("key", fields.get("lane"))
        self.events.append((name, who, fields.get("reason")))


@pytest.fixture
async def phones(nursery: trio.Nursery) -> Phones:
    """Two apps of one key, two of others, one channel of each; eight attempts a lane."""
    made = Phones(World(settings=QUICK), registry=AppRegistry(APPS), width=8)
    await made.start(nursery)
    for app in APPS:
        channel = device_channel(app, token=app, app=app)
        if app == FCM:
            device = channel.device
            assert device is not None
            channel.device = attrs.evolve(device, provider="fcm")
        await made.subscribed(channel)
    return made


async def push(phones: Phones, app: str, *ids: str, outcome: Outcome | float | None = None) -> None:
    """Notifications for the channel of an app, and what becomes of each attempt."""
    if outcome is not None:
        phones.push.script.update({id_: [outcome] * 1000 for id_ in ids})
    await phones.world.publish(*ids, user=app)


def at(phones: Phones, *apps: str) -> list[int]:
    """When there were attempts for these, in seconds."""
    lanes = {f"apns/{app}" for app in apps}
    return [round(one.at) for one in phones.push.attempts if one.lane in lanes]


def gauge(phones: Phones, name: str, **labels: str) -> int:
    """What a gauge says."""
    return phones.world.sample(name, **labels)


# -- a paused key --------------------------------------------------------------------------


async def test_a_refused_credential_pauses_all_its_apps_and_no_other(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """PU-53: nothing more of either app, everything of the others."""
    await push(phones, A, "a0", outcome=refused())
    await wait_all_tasks_blocked()
    for app in APPS:
        await push(phones, app, *(f"{app}{n}" for n in range(20)))
    await trio.sleep(50)
    assert len(at(phones, A, B)) == 1
    assert len(phones.push.delivered) == 40
    assert [phones.queue.blocked(f"apns/{app}") for app in (A, B, OTHER)] == ["key_paused"] * 2 + [
        None
    ]
    assert {one.name: one.blocked for one in phones.queue.lane_statuses()} == {
        f"apns/{A}": "key_paused",
        f"apns/{B}": "key_paused",
    }
    assert gauge(phones, "lanes_blocked", type="OMAPush", reason="key_paused") == 2
    assert gauge(phones, "push_keys_paused", provider="apns") == 1


async def test_one_delivery_of_all_lanes_probes_every_minute(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """PU-53: however many lanes and deliveries wait; nothing else counts as an attempt."""
    for app in (A, B):
        await push(phones, app, *(f"{app}{n}" for n in range(30)), outcome=refused())
        await wait_all_tasks_blocked()
    begun = len(phones.push.attempts)
    assert begun == 8
    await trio.sleep(250)
    assert at(phones, A, B)[begun:] == [60, 120, 180, 240]
    counted = sum(one.number for one in phones.push.attempts[:begun])
    assert counted == begun


async def test_a_delivered_probe_ends_the_pause(phones: Phones, autojump_clock: MockClock) -> None:
    """For every app of the key, at once; an operator is told twice, a lane's list once each."""
    told = Told(phones.world)
    await push(phones, A, "a0")
    phones.push.script["a1"] = [refused()]
    await push(phones, A, "a1")
    await wait_all_tasks_blocked()
    await push(phones, A, *(f"a{n}" for n in range(2, 50)))
    await push(phones, B, *(f"b{n}" for n in range(50)))
    await trio.sleep(59)
    assert phones.push.delivered == ["a0"]
    await trio.sleep(2)
    assert len(phones.push.delivered) == 100
    assert {one.number for one in phones.push.attempts if one.id != "a1"} == {1}
    keys = [event for event in told.events if event[0].startswith("push.key")]
    assert keys == [
        ("push.key.paused", "main", "credential"),
        ("push.key.resumed", "main", "key_paused"),
    ]
    assert gauge(phones, "push_keys_paused", provider="apns") == 0
    assert gauge(phones, "lanes_blocked", type="OMAPush", reason="key_paused") == 0


async def test_what_began_before_the_pause_neither_ends_nor_repeats_it(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """Its outcome is judged as usual; about the key it tells of the time before."""
    told = Told(phones.world)
    await push(phones, A, "slow", outcome=2.0)
    await push(phones, A, "a0", outcome=refused())
    await trio.sleep(5)
    assert phones.push.delivered == ["slow"]
    assert phones.queue.blocked(f"apns/{A}") == "key_paused"

    async def late() -> Outcome:
        await trio.sleep(3)
        return refused()

    assert phones.gates is not None
    phones.gates.open("main")
    phones.push.script["b0"] = [late]
    await push(phones, B, "b0")
    await trio.sleep(1)
    phones.gates.close("main", "oauth")
    phones.gates.close("main", "key_paused")
    phones.gates.open("main")
    await trio.sleep(5)
    assert phones.queue.blocked(f"apns/{A}") is None
    assert [event[0] for event in told.events if event[1] == "main"] == [
        *("push.key.paused", "push.key.resumed") * 2
    ]


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Deferred("connect"), 60),
        (Deferred("timeout", sign=Sign.NOTHING), 60),
        (refused(), 60),
        (Gone("unregistered", 410), 0),
        (Refused("bad_request", 400), 0),
        (Deferred("throttled_device", sign=Sign.CONTACT), 0),
    ],
)
async def test_who_probes_after_a_probe_that_failed(
    phones: Phones, autojump_clock: MockClock, answer: Outcome, seconds: int
) -> None:
    """Where the answer is about the delivery alone, the next one at once, else in a minute."""
    assert phones.gates is not None
    phones.gates.close("main", "key_paused")
    phones.push.script["a0"] = [answer]
    await push(phones, A, "a0")
    await push(phones, B, "b0")
    await trio.sleep(130)
    assert phones.push.times("a0")[0] == pytest.approx(60, abs=0.1)
    assert phones.push.times("b0") == [pytest.approx(60 + seconds, abs=0.1)]
    assert phones.queue.blocked(f"apns/{A}") is None


async def test_a_lane_without_work_does_not_keep_the_probe(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """What it was to probe with has expired: another lane probes as soon."""
    await push(phones, B, "b0", outcome=refused())
    await wait_all_tasks_blocked()
    phones.push.script["b0"] = []
    await phones.world.publish("short", user=A, expires_in=30_000)
    await trio.sleep(65)
    assert phones.push.delivered == ["b0"]
    assert phones.queue.blocked(f"apns/{B}") is None


async def test_a_probe_that_hangs_is_the_only_one(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """No second one beside it, of whatever lane."""
    await push(phones, A, "a0", outcome=refused())
    await wait_all_tasks_blocked()
    phones.push.script["a0"] = [math.inf]
    await push(phones, B, "b0", outcome=math.inf)
    await trio.sleep(600)
    assert len(phones.push.attempts) == 2


async def test_an_operator_has_it_probed_at_once(phones: Phones, autojump_clock: MockClock) -> None:
    """He has mended the credential at the provider; but one probe it is."""
    await push(phones, A, "a0", outcome=refused())
    await wait_all_tasks_blocked()
    await push(phones, B, *(f"b{n}" for n in range(9)), outcome=refused())
    assert phones.queue.resume(f"apns/{A}")
    await trio.sleep(1)
    assert len(phones.push.attempts) == 2
    phones.push.script.clear()
    assert phones.queue.resume(f"apns/{B}")
    await trio.sleep(1)
    assert len(phones.push.delivered) == 8


# -- apps, quotas, access tokens -----------------------------------------------------------


async def test_an_app_may_be_paused_alone(phones: Phones, autojump_clock: MockClock) -> None:
    """C.4, THIRD_PARTY_AUTH_ERROR: the others of its credential go on; probed alike."""
    phones.push.script["a0"] = [refused(Word.PAUSE_APP)]
    await push(phones, A, "a0")
    await wait_all_tasks_blocked()
    await push(phones, A, "a1", "a2")
    await push(phones, B, "b0")
    await trio.sleep(50)
    assert phones.push.delivered == ["b0"]
    assert phones.queue.blocked(f"apns/{A}") == "app_paused"
    assert gauge(phones, "push_keys_paused", provider="apns") == 0
    await trio.sleep(20)
    assert sorted(phones.push.delivered) == ["a0", "a1", "a2", "b0"]


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 60), (90.0, 90), (5.0, 5)])
async def test_a_quota_ends_with_its_time(
    phones: Phones, autojump_clock: MockClock, retry_after: float | None, seconds: int
) -> None:
    """PU-46, C.4: everything of the project waits, nothing of another; no probe is needed."""
    phones.push.script["f0"] = [exhausted(retry_after)]
    await push(phones, FCM, "f0")
    await wait_all_tasks_blocked()
    await push(phones, FCM, *(f"f{n}" for n in range(1, 40)))
    await push(phones, A, "a0")
    await trio.sleep(seconds - 0.5)
    assert phones.push.delivered == ["a0"]
    assert phones.queue.blocked(f"fcm/{FCM}") == "quota"
    await trio.sleep(2)
    assert len(phones.push.delivered) >= 40
    assert gauge(phones, "lanes_blocked", type="OMAPush", reason="quota") == 0


async def test_a_quota_that_comes_and_goes_is_no_storm_of_events(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """Once a minute at most; the gauge and the list say it at any time."""
    told = Told(phones.world)
    await push(phones, FCM, *(f"f{n}" for n in range(200)), outcome=exhausted(2.0))
    await trio.sleep(119)
    assert len(phones.push.attempts) > 60
    begun = [event for event in told.events if event[0] == "lane.blocked"]
    assert len(begun) == 2


async def test_without_an_access_token_nothing_is_attempted(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """PU-42: for as long as it takes, no probe; then all at once."""
    assert phones.gates is not None
    phones.gates.note("google", "oauth")
    assert phones.queue.blocked(f"fcm/{FCM}") == "oauth"
    await push(phones, FCM, *(f"f{n}" for n in range(20)))
    await trio.sleep(7200)
    assert phones.push.attempts == []
    assert gauge(phones, "push_keys_paused", provider="fcm") == 1
    phones.gates.note("google", None)
    await wait_all_tasks_blocked()
    assert len(phones.push.delivered) == 20
    assert gauge(phones, "push_keys_paused", provider="fcm") == 0


async def test_urgent_ones_expire_at_their_deadline_all_the_same(
    phones: Phones, autojump_clock: MockClock
) -> None:
    """PU-53: deliveries keep their deadlines; PU-36: a call does not ring late."""
    assert phones.gates is not None
    phones.gates.close("main", "oauth")
    await phones.world.publish("call", user=A, priority=Priority.URGENT, expires_in=45_000)
    await trio.sleep(60)
    phones.gates.open("main")
    await trio.sleep(1)
    assert phones.push.attempts == []


# -- the gates themselves ------------------------------------------------------------------


def lone() -> Gates:
    """Gates without a queue."""
    metrics = Metrics()
    events = Events(metrics=metrics, clock=lambda: T0)
    return Gates(AppRegistry(APPS), events=events, metrics=metrics, clock=lambda: T0)


def test_an_implicit_voip_app_has_its_owners_key() -> None:
    """PU-21: and a gate of its own as an app; what is not registered has none."""
    gates = lone()
    owner, voip = gates.of(f"apns/{A}"), gates.of(f"apns/{A}.voip")
    assert owner is not None
    assert voip is not None
    assert owner.key is voip.key
    assert owner.app is not voip.app
    assert gates.of(f"fcm/{A}") is None
    assert gates.of("apns/com.example.unknown") is None


def test_a_reload_tries_credentials_anew() -> None:
    """PU-53, PU-20: those that were changed; an app that has moved to another key has its gate."""
    gates, changed = lone(), []
    for key in ("main", "second"):
        gates.close(key, "key_paused")
    before = [gates.of(f"apns/{app}") for app in (A, OTHER)]
    assert all(one is not None and one.reason(T0) == "key_paused" for one in before)
    gates.on_changed = changed.append
    moved = APPS | {B: PushAppSettings("apns", key="second")}
    gates.reload(AppRegistry(moved), ["main"])
    assert {f"apns/{A}", f"apns/{OTHER}"} <= set(changed)
    after = [gates.of(f"apns/{app}") for app in (A, B, OTHER)]
    assert [one and one.reason(T0) for one in after] == [None, "key_paused", "key_paused"]


def test_the_old_credential_says_nothing_about_the_new() -> None:
    """PU-53, PU-20: an attempt that began before a reload does not pause what came with it."""
    gates = lone()
    before = gates.of(f"apns/{A}")
    assert before is not None
    eras = before.eras
    gates.reload(AppRegistry(APPS), ["main"])
    refused = Deferred("credential", words=frozenset({Word.PAUSE_KEY}))
    gates.learn(before, refused, eras)
    after = gates.of(f"apns/{A}")
    assert after is not None
    assert after.reason(T0) is None
    gates.learn(after, refused, after.eras)
    assert after.reason(T0) == "key_paused"


def test_what_nothing_is_known_of_may_be_opened() -> None:
    """A credential tells that it works without ever having failed."""
    gates = lone()
    gates.open("nobody")
    gates.note("main", None)
    found = gates.of(f"apns/{A}")
    assert found is not None
    gates.learn(found, Delivered(200), found.eras)
    assert found.reason(T0) is None


# -- isolation -----------------------------------------------------------------------------


async def test_nobody_waits_for_the_others_trouble(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-87: one token is to be left alone, one key is paused, one app hangs, thousands behind
    each: those of the rest are attempted in the moment they are accepted."""
    apps = APPS | {"hangs": PushAppSettings("apns", key="third")}
    phones = Phones(World(settings=QUICK), registry=AppRegistry(apps), width=20, slots=200)
    await phones.start(nursery)
    for app in (A, "hangs", OTHER):
        await phones.subscribed(device_channel(app, token=app, app=app))
    await phones.subscribed(device_channel("busy", token="busy", app=OTHER))
    delay = Deferred("throttled_device", 2.0, 429, sign=Sign.CONTACT, words=frozenset({Word.HOLD}))
    await push(phones, A, *(f"a{n}" for n in range(1000)), outcome=refused())
    await push(phones, "hangs", *(f"h{n}" for n in range(1000)), outcome=math.inf)
    await push(phones, "busy", *(f"d{n}" for n in range(900)), outcome=delay)
    await trio.sleep(1)
    for round_ in range(20):
        before = trio.current_time()
        ids = {f"ok{round_}.{n}" for n in range(20)}
        await push(phones, OTHER, *ids)
        await wait_all_tasks_blocked()
        assert ids <= set(phones.push.delivered)
        assert trio.current_time() == before
        await trio.sleep(0.7)
    assert all(id_.startswith("ok") for id_ in phones.push.delivered)
