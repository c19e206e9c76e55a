"""tocsin.config.places: addresses and files that cannot be had, before anything is opened."""

import socket
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.tokens import SECRET

from tocsin.config import ConfigError, parse


def problems_of(**tables: Any) -> list[str]:
    try:
        parse({"auth": {"shared_secret": SECRET}, **tables}, folder=Path(), environ={})
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("public", "admin", "problem"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", "listen.admin: 127.0.0.1:1 is taken by 127.0.0.1:1 of"),
        (
            "0.0.0.0:1",
            "127.0.0.1:1",
            "listen.admin: 127.0.0.1:1 is taken by 0.0.0.0:1 of listen.pub",
        ),
        ("[::1]:1", "[::]:1", "listen.admin: [::]:1 is taken by [::1]:1 of listen.public"),
        ("[::1]:1", "[0:0::1]:1", "listen.admin: [0:0::1]:1 is taken by [::1]:1 of listen.public"),
        ("A.example:1", "a.example:1", "listen.admin: a.example:1 is taken by A.example:1 of"),
        (["127.0.0.1:1", "127.0.0.1:1"], "127.0.0.1:2", "listen.public: 127.0.0.1:1 is taken by"),
        ("unix:/run/x", "unix:/run/../run/x", "listen.admin: unix:/run/../run/x is taken by unix"),
        (
            "systemd:public",
            "systemd:public",
            "listen.admin: systemd:public is taken by systemd:pub",
        ),
    ],
)
def test_an_address_only_one_can_have(public: str | list[str], admin: str, problem: str) -> None:
    """OP-8: one line, which says whose it is already."""
    [found] = problems_of(listen={"public": public, "admin": admin})
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("public", "admin"),
    [
        (["127.0.0.1:0", "127.0.0.1:0"], "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.1:2"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("0.0.0.0:1", "[::]:1"),
        ("unix:/run/a", "unix:/run/b"),
        ("systemd:public", "systemd:admin"),
    ],
)
def test_addresses_for_both(public: str | list[str], admin: str) -> None:
    """OP-8: port 0 is never the same, and IPv6 listeners leave IPv4 alone."""
    assert problems_of(listen={"public": public, "admin": admin}) == []


def test_what_is_in_the_way_of_a_socket(tmp_path: Path) -> None:
    """OP-8: a file that is none is left, and told; a socket of the last run is nothing."""
    plain, stale = tmp_path / "plain", tmp_path / "stale"
    plain.touch()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(stale))
    assert problems_of(listen={"public": f"unix:{plain}"}) == [
        f"listen.public: {plain} is there, and is no socket"
    ]
    assert problems_of(listen={"public": f"unix:{stale}"}) == []
    assert problems_of(listen={"public": f"unix:{tmp_path}/not/yet/there"}) == []


def test_where_the_store_cannot_be(tmp_path: Path) -> None:
    """OP-6: a directory for a file, a file for a directory, and what is needed otherwise."""
    plain, state = tmp_path / "plain", tmp_path / "state"
    plain.touch()

    def problem(path: Path) -> str:
        [found] = problems_of(store={"path": str(path)}, state_dir=str(state))
        return found.removeprefix("store.path: ")

    assert problem(tmp_path) == f"{tmp_path} is a directory; name a file in it"
    assert problem(plain / "x" / "tocsin.db") == f"{plain} is no directory"
    for taken in (state, state / "listen.json", state / "." / "listen.json"):
        assert problem(taken).endswith("is needed for state_dir; name another file")
    assert problems_of(store={"path": str(state / "tocsin.db")}, state_dir=str(state)) == []
    assert problems_of(store={"path": str(plain)}, state_dir=str(state)) == []


def test_where_the_state_cannot_be(tmp_path: Path) -> None:
    """OP-6: the same for the directory beside the store; a link to one will do."""
    plain, link = tmp_path / "plain", tmp_path / "link"
    plain.touch()
    link.symlink_to(tmp_path)
    assert problems_of(state_dir=f"{plain}/x") == [f"state_dir: {plain} is no directory"]
    assert problems_of(state_dir=str(link)) == []
    assert not (tmp_path / "x").exists()


def test_a_wrong_option_hides_no_other(tmp_path: Path) -> None:
    """OP-6: a path that is wrong in itself is told once, and the rest all the same."""
    found = problems_of(store={"path": 7}, state_dir="/dev/null", listen={"public": 80})
    assert sorted(line.partition(":")[0] for line in found) == [
        "listen.public",
        "state_dir",
        "store.path",
    ]


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OP-6: relative paths are mistakes in a directory that was deleted, and whole ones are not."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    why = "is relative, and the working directory cannot be found; write the whole path"
    assert sorted(problems_of()) == [f"state_dir: {why}", f"store.path: {why}"]
    whole = str(tmp_path / "tocsin.db")
    assert problems_of(store={"path": whole}) == [f"state_dir: {why}"]
    assert problems_of(store={"path": whole}, state_dir=str(tmp_path / "state")) == []
