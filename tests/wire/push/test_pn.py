"""tocsin.wire.push.pn: RFC 8599 parameters and what came before them (push.md, A.9)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.push.pn import (
    PnCountError,
    PnError,
    PnNotSupportedError,
    PnSyntaxError,
    PnTarget,
    parse_pn,
    pick,
)

TEAM = "ABCDE12345"


def pn(provider: str, param: str, prid: str) -> dict[str, str]:
    return {"pn-provider": provider, "pn-param": param, "pn-prid": prid}


def legacy(kind: str, app: str, token: str) -> dict[str, str]:
    return {"pn-type": kind, "app-id": app, "pn-tok": token}


def apns(
    token: str, topic: str = "com.x", environment: str = "production", team: str = TEAM
) -> PnTarget:
    kind = "voip" if topic.endswith(".voip") else "alert"
    return PnTarget("apns", token, environment=environment, team=team, topic=topic, kind=kind)


@pytest.mark.parametrize(
    ("params", "targets"),
    [
        (pn("apns", f"{TEAM}.com.x", "00fa"), [apns("00fa")]),
        (pn("apns.dev", f"{TEAM}.com.x", "00fa"), [apns("00fa", environment="sandbox")]),
        (pn("APNS", f"{TEAM}.com.x.remote", "00fa"), [apns("00fa")]),
        (pn("apns", f"{TEAM}.com.x.remote", "00fa:remote"), [apns("00fa")]),
        (pn("apns", f"{TEAM}.com.x", "00fa:remote"), [apns("00fa")]),
        (pn("apns", f"{TEAM}.com.x.voip", "00fa"), [apns("00fa", "com.x.voip")]),
        (pn("apns", f"{TEAM}.com.x.voip", "00fa:voip"), [apns("00fa", "com.x.voip")]),
        (
            pn("apns", f"{TEAM}.com.x.remote&voip", "00fa:remote&00fb:voip"),
            [apns("00fa"), apns("00fb", "com.x.voip")],
        ),
        (
            pn("apns", f"{TEAM}.com.x.voip&remote", "00fa:remote&00fb:voip"),
            [apns("00fb", "com.x.voip"), apns("00fa")],
        ),
        (pn("apns", f"{TEAM}.com.x-y.z_1", "00fa"), [apns("00fa", "com.x-y.z_1")]),
        (pn("fcm", "p-1", "a:b&c"), [PnTarget("fcm", "a:b&c", project="p-1")]),
        (pn("android", "p-1", "t"), [PnTarget("fcm", "t", project="p-1")]),
        (pn("firebase", "p-1", "t"), [PnTarget("fcm", "t", project="p-1")]),
        (pn("webpush", "", "https://h/x?y"), [PnTarget("webpush", "https://h/x?y")]),
        (
            {"PN-Provider": "fcm", "Pn-Param": "p", "PN-PRID": "t"},
            [PnTarget("fcm", "t", project="p")],
        ),
        (legacy("apple", "com.x", "00fa"), [apns("00fa", team="")]),
        (legacy("apple", "com.x.prod", "00fa"), [apns("00fa", team="")]),
        (legacy("apple", "com.x.dev", "00fa"), [apns("00fa", environment="sandbox", team="")]),
        (
            legacy("apple", "com.x.voip.dev", "00fa"),
            [apns("00fa", "com.x.voip", "sandbox", team="")],
        ),
        (legacy("android", "p-1", "t"), [PnTarget("fcm", "t", project="p-1")]),
        (legacy("firebase", "p-1.dev", "t"), [PnTarget("fcm", "t", project="p-1.dev")]),
        (legacy("google", "123456", "t"), [PnTarget("fcm", "t", project="123456")]),
        (
            {**pn("fcm", "p", "t"), **legacy("apple", "com.x", "00")},
            [PnTarget("fcm", "t", project="p")],
        ),
    ],
)
def test_every_form(params: dict[str, str], targets: list[PnTarget]) -> None:
    """Each row of the table becomes its targets; the standard form comes first (PU-27)."""
    assert parse_pn(params) == targets


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({}, PnSyntaxError),
        ({"pn-prid": "x"}, PnSyntaxError),
        (pn("adm", "x", "y"), PnNotSupportedError),
        (pn("apns.prod", f"{TEAM}.com.x", "00"), PnNotSupportedError),
        (pn("", "x", "y"), PnNotSupportedError),
        (legacy("wp", "x", "y"), PnNotSupportedError),
        (pn("apns", "", "00"), PnSyntaxError),
        (pn("apns", "com.x", "00"), PnSyntaxError),
        (pn("apns", TEAM, "00"), PnSyntaxError),
        (pn("apns", f"{TEAM}.", "00"), PnSyntaxError),
        (pn("apns", f"{TEAM}.voip", "00"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com..x", "00"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x.voip&voip", "00:voip&01:voip"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x.voip&other", "00:voip&01:other"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x", ""), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x", ":remote"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x", "00:"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x.voip", "00:remote"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x", "00 11"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x", "00:remote&01:voip"), PnCountError),
        (pn("apns", f"{TEAM}.com.x.remote&voip", "00"), PnCountError),
        (pn("apns", f"{TEAM}.com.x.remote&voip", "00:voip"), PnCountError),
        (pn("apns", f"{TEAM}.com.x.remote&voip", "00&01"), PnSyntaxError),
        (pn("apns", f"{TEAM}.com.x.remote&voip", "00:voip&01:voip"), PnSyntaxError),
        (pn("fcm", "p", ""), PnSyntaxError),
        (pn("fcm", "", "t"), PnSyntaxError),
        (pn("webpush", "", "http://h/x"), PnSyntaxError),
        (legacy("apple", ".dev", "00"), PnSyntaxError),
        (legacy("apple", "com.x", ""), PnSyntaxError),
        (legacy("google", "", "t"), PnSyntaxError),
    ],
)
def test_what_is_wrong(params: dict[str, str], error: type[PnError]) -> None:
    """Who is not served, what cannot be read and tokens that do not add up are told apart, each
    with a word of its own (PU-28)."""
    with pytest.raises(PnError) as caught:
        parse_pn(params)
    assert type(caught.value) is error
    assert caught.value.code == error.code


def test_words() -> None:
    """An unknown provider has the word that SIP servers answer 555 for (PU-28)."""
    assert PnNotSupportedError.code == "push_not_supported"
    assert len({error.code for error in PnError.__subclasses__()}) == 3


def test_the_target_of_a_verb() -> None:
    """Of two targets calls take the PushKit one and all else the other; one alone takes all."""
    both = parse_pn(pn("apns", f"{TEAM}.com.x.remote&voip", "00fa:remote&00fb:voip"))
    for targets in (both, both[::-1]):
        assert pick(targets, is_call=True).token == "00fb"
        assert pick(targets, is_call=False).token == "00fa"
    for one in both:
        assert pick([one], is_call=True) is pick([one], is_call=False) is one
    [fcm] = parse_pn(pn("fcm", "p", "t"))
    assert pick([fcm], is_call=True) is fcm


NAMES = st.sampled_from(["pn-provider", "pn-param", "pn-prid", "pn-type", "app-id", "pn-tok"])
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["apns", "fcm", "apple", f"{TEAM}.com.x.remote&voip", "a:voip&b:remote"]),
)


@given(st.dictionaries(NAMES, WORDS))
def test_anything(params: dict[str, str]) -> None:
    """Whatever a phone says is read, or refused with an error of ours (PU-28)."""
    try:
        targets = parse_pn(params)
    except PnError:
        return
    assert 1 <= len(targets) <= 2
    assert all(target.token for target in targets)
