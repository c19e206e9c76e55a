"""tocsin.server.services: what an operator may declare (CH-97)."""

import tomllib
from pathlib import Path

import pytest

from tocsin.config import Config, ConfigError, parse
from tocsin.model.channel import ChannelType
from tocsin.model.notification import Priority
from tocsin.model.services import SERVICES, Declared
from tocsin.server.services import ServiceSettings, service_registry, subscription_kinds
from tocsin.wire.subscriptions import KINDS


def parsed(text: str) -> Config:
    return parse(tomllib.loads(text), folder=Path(), environ={}, checks={})


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value.problems


def test_a_service_with_everything() -> None:
    """Each option reaches the model and the subscription resource, types in any spelling."""
    services = parsed("""
        [services.tickets]
        path = "/desk/v1/{user}/tickets/subscriptions"
        envelope = "ticketSubscription"
        channel_types = ["WEBSOCKETS", "webhooks"]
        root_keys = ["ticketNotification", "ticketClosed"]
        priority = "urgent"
        expires_in = 60
    """).services
    assert services["tickets"].declared == Declared(
        frozenset({ChannelType.WEBSOCKETS, ChannelType.WEBHOOKS}),
        frozenset({"ticketNotification", "ticketClosed"}),
        Priority.URGENT,
        60,
    )
    kind = subscription_kinds(services)[-1]
    assert (kind.service, kind.envelope) == ("tickets", "ticketSubscription")
    assert kind.list_envelope == "ticketSubscriptionList"
    assert kind.path == "/desk/v1/{user}/tickets/subscriptions"
    registry = service_registry(services)
    assert registry.names == (*SERVICES, "tickets")
    assert registry.of_root_key("ticketClosed") == "tickets"


def test_a_service_with_nothing_but_a_name() -> None:
    """Any channel, normal priority, a week, and the path CH-97 gives."""
    services = parsed("[services.a-1_b]").services
    assert services["a-1_b"].declared == Declared()
    kinds = subscription_kinds(services)
    assert kinds[:-1] == KINDS
    assert kinds[-1].path == "/a-1_b/v1/{user}/subscriptions"


def test_no_service_declared() -> None:
    """The standard ones are there without a word."""
    assert service_registry({}).names == SERVICES
    assert subscription_kinds({}) == KINDS


PATH = "must begin with /, hold {user} once"


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        *(
            (f'path = "{path}"', f"path: {PATH}")
            for path in (
                *("", "/", "tickets/{user}", "/tickets", "/{user}/x/{user}", "/x{user}"),
                *("/a//{user}", "/{user}/", "/{user}/{id}", "/{u}/x", "/{user}/a b", "/{user}/?x"),
            )
        ),
        ('envelope = ""', "envelope: must be a letter"),
        ('envelope = "a b"', "envelope: must be a letter"),
        ("channel_types = []", "channel_types: must be some of websockets, OMAPush"),
        ('channel_types = ["websockets", "pigeon"]', "channel_types: must be some of websockets"),
        ('root_keys = ["a b"]', 'root_keys: "a b" cannot be the root key'),
        ('root_keys = ["connCheck"]', 'root_keys: "connCheck" cannot be the root key'),
        ('root_keys = ["chatNews"]', 'root_keys: "chatNews" belongs to chat'),
        ('root_keys = ["gone"]', 'root_keys: "gone" belongs to call'),
        ('priority = "high"', "priority: must be one of urgent, normal, low"),
        ("expires_in = 0", "expires_in: must be at least 1"),
        ("expires_in = 2592001", "expires_in: must be at most 2_592_000"),
        ("ttl = 5", "ttl: unknown option"),
    ],
)
def test_a_bad_option_is_named(option: str, problem: str) -> None:
    """Each with its path, as everywhere in the configuration (OP-6)."""
    (found,) = problems_of(f"[services.tickets]\n{option}")
    assert found.startswith(f"services.tickets.{problem}")


@pytest.mark.parametrize(
    "path", ["/{user}", "/{user}/subscriptions", "/a/{user}", "/A-b_c.d~1/{user}/v1"]
)
def test_the_edges_of_a_path(path: str) -> None:
    """What just passes."""
    assert ServiceSettings(path=path).kind("x").path == path


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        *((f"[services.{name}]", f"{name} is a standard service") for name in SERVICES),
        *(
            (f'[services."{name}"]', f'"{name}" must be a small letter')
            for name in ("", "Tickets", "1a", "a b", "a" * 33, "é", "a.b")
        ),
        (
            '[services.a]\nroot_keys=["x", "x"]\n[services.b]\nroot_keys=["x"]',
            'root key "x" belongs to 2 services',
        ),
        *(
            (f'[services.a]\npath = "{path}"', "the path of a is taken")
            for path in (
                "/chat/v1/{user}/subscriptions",
                "/presence/v1/{user}/subscriptions",
                "/notificationchannel/v1/{user}/channels",
            )
        ),
        ('[services.a]\n[services.b]\npath = "/a/v1/{user}/subscriptions"', "the path of b is"),
    ],
)
def test_services_that_are_in_the_way_of_others(tables: str, problem: str) -> None:
    """Names, root keys and routes are each for one service only (CH-97)."""
    (found,) = problems_of(tables)
    assert found.startswith(f"services: {problem}")


def test_every_collision_is_told_at_once() -> None:
    """One line for what is wrong between them, none hiding another (OP-6)."""
    (found,) = problems_of("""
        [services.sms]
        root_keys = ["x"]
        [services.B]
        root_keys = ["x"]
        path = "/chat/v1/{user}/subscriptions"
    """)
    assert found.count(";") == 3
