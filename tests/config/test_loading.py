"""tocsin.config.loading: finding a file, and every mistake in it at once."""

import tomllib
from pathlib import Path

import pytest

from tocsin.config import Config, ConfigError, load, loading, locate, parse

KEY_SOURCE = {"auth": {"shared_secret": "0123456789abcdef0123456789abcdef"}}


def problems_of(text: str, folder: Path = Path(), **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text), folder=folder, environ=environ, checks={})
    return caught.value.problems


def parsed(text: str, folder: Path = Path(), **environ: str) -> Config:
    return parse(tomllib.loads(text), folder=folder, environ=environ, checks={})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('store.batch = "80"', "store.batch: must be a whole number, not a string"),
        ("store.batch = 80.0", "store.batch: must be a whole number, not 80.0"),
        ("store.batch = true", "store.batch: must be a whole number, not true"),
        ("webhooks.echo_secrets = 1", "webhooks.echo_secrets: must be true or false, not 1"),
        ("state_dir = 3", "state_dir: must be a string, not 3"),
        ("state_dir = 1979-05-27", "state_dir: must be a string, not a date or time"),
        ("drain.window = true", "drain.window: must be a number, not true"),
        ("drain.window = nan", "drain.window: must be a finite number"),
        ("drain = 5", "drain: must be a table, not 5"),
        ("cors.origins = '*'", "cors.origins: must be a list of strings, not a string"),
        ("cors.origins = ['*', 1]", "cors.origins[1]: must be a string, not 1"),
        ("listen.admin = 1", "listen.admin: must be a string or a list of strings, not 1"),
        ("listen.admin = [1]", "listen.admin[0]: must be a string, not 1"),
        ("delivery.urgent_retries = [0, 'x']", "delivery.urgent_retries[1]: must be a number"),
        ("store.batch = 0", "store.batch: must be at least 1"),
        ("log.level = 'loud'", "log.level: must be one of debug, info, warning, error, critical"),
        ("netapi.prefix = 'cpaas/'", "netapi.prefix: must be empty, or begin with /"),
        ("listen.publik = 'x'", "listen.publik: unknown option, did you mean listen.public?"),
        ("echo_secrets = 1", "echo_secrets: unknown option, did you mean webhooks.echo_secrets?"),
        ("zzz.zzz = 1", "zzz: unknown option"),
        (
            "auth.builtin.clients.web.secrt = 'x'",
            (
                "auth.builtin.clients.web.secrt: unknown option, did you mean "
                "auth.builtin.clients.web.secret?"
            ),
        ),
        ("auth.builtin.clients.web = 3", "auth.builtin.clients.web: must be a table, not 3"),
    ],
)
def test_a_mistake_is_named_with_its_path(text: str, problem: str) -> None:
    """Wrong types, impossible values and unknown keys each give one line that says it (OP-6)."""
    (found,) = problems_of(text)
    assert found.startswith(problem)


def test_every_mistake_is_reported_at_once() -> None:
    """Ten mistakes of all kinds in one file give ten lines, none hiding another (OP-6)."""
    found = problems_of("""
        state_dir = 3
        nonsense = 1
        [listen]
        publik = "x"
        admin = 7
        [store]
        batch = "80"
        checkpoint_pages = 1
        [log]
        level = "loud"
        format = "xml"
        [webhooks]
        deny_networks = ["x"]
        [drain.x]
    """)
    assert len(found) == 10
    assert len({line.partition(":")[0] for line in found}) == 10


def test_whole_numbers_do_where_fractions_are_due() -> None:
    """`window = 7` is 7.0: the one conversion there is."""
    window = parsed("drain.window = 7").drain.window
    assert window == 7.0
    assert isinstance(window, float)


def test_nothing_is_changed_on_the_way() -> None:
    """Values of every type arrive as they stand in the file."""
    config = parsed("""
        state_dir = "elsewhere"
        [listen]
        public = ["127.0.0.1:1", "unix:/run/x"]
        [delivery]
        webhook_retries = [0, 1.5]
        [limits]
        body = 5
        backlog = 7
        [auth.builtin.clients.web]
        user = "u@example"
    """)
    assert config.state_dir == "elsewhere"
    assert config.listen.public == ["127.0.0.1:1", "unix:/run/x"]
    assert config.delivery.webhook_retries == [0, 1.5]
    assert config.limits.http.body == 5
    assert config.limits.delivery.backlog == 7
    assert config.auth.builtin.clients["web"].user == "u@example"


def test_secrets_may_stand_elsewhere(tmp_path: Path) -> None:
    """A file next to the configuration, the environment, a credential; line ends dropped (OP-5)."""
    (tmp_path / "secret").write_text("from a file\r\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "issuer").write_text("from a credential\n")
    config = parsed(
        """
        [auth]
        shared_secret = { file = "secret" }
        audience = { env = "AUDIENCE" }
        issuer = { credential = "issuer" }
        [cors]
        origins = [{ env = "ORIGIN" }]
        """,
        tmp_path,
        AUDIENCE="from the environment",
        ORIGIN="https://app.example",
        CREDENTIALS_DIRECTORY=str(credentials),
    )
    assert config.auth.shared_secret == "from a file"
    assert config.auth.audience == "from the environment"
    assert config.auth.issuer == "from a credential"
    assert config.cors.origins == ["https://app.example"]
    assert "from a file" not in repr(config)


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ('{ file = "absent" }', "absent cannot be read: No such file or directory"),
        ('{ file = "latin" }', "latin is not UTF-8 text"),
        ('{ file = "large" }', "large is larger than 65_536 bytes"),
        ('{ env = "ABSENT" }', "the environment variable ABSENT is not set"),
        ('{ credential = "x" }', "$CREDENTIALS_DIRECTORY is not set"),
        ('{ fil = "x" }', "must be a string or one of { file = PATH }"),
        ('{ file = "x", env = "y" }', "must be a string or one of { file = PATH }"),
        ("{ file = 3 }", "must be a string or one of { file = PATH }"),
        ("{}", "must be a string, not a table"),
    ],
)
def test_a_reference_to_nothing_is_a_mistake(tmp_path: Path, reference: str, problem: str) -> None:
    """A secret that is not where it should be stops the start, with its option's path (OP-5)."""
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * 65_537)
    (found,) = problems_of(f"auth.issuer = {reference}", tmp_path)
    assert found.startswith("auth.issuer: ")
    assert problem in found


def test_a_credential_cannot_leave_its_folder(tmp_path: Path) -> None:
    """A credential is a name, never a path."""
    (found,) = problems_of(
        'auth.issuer = { credential = "../x" }', CREDENTIALS_DIRECTORY=str(tmp_path)
    )
    assert found == "auth.issuer: a credential is named without a path"


def test_a_wrong_secret_is_not_printed() -> None:
    """A mistake in a string option never repeats the string (SE-7)."""
    assert "hunter2" not in problems_of('store.batch = "hunter2"')[0]


def test_lookup_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument, else the variable, else the system's file if it is there (OP-4)."""
    system = tmp_path / "tocsin.toml"
    monkeypatch.setattr(loading, "SYSTEM_FILE", system)
    assert locate(None, {}) is None
    system.touch()
    assert locate(None, {}) == system
    assert locate(None, {"TOCSIN_CONFIG": "variable.toml"}) == Path("variable.toml")
    assert locate("argument.toml", {"TOCSIN_CONFIG": "variable.toml"}) == Path("argument.toml")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"a = 1\nb = =", "is not valid TOML: Invalid value (at line 2, column 5)"),
        (b"a = '\xff'", "is not UTF-8 text"),
        ("a = 1".encode("utf-16"), "is UTF-16, or no text at all; save it as UTF-8"),
        ("a = 1".encode("utf-16-le"), "is UTF-16, or no text at all; save it as UTF-8"),
        (b"a = " + b"[" * 5000, "is not valid TOML: too deeply nested"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """A missing, broken or binary file is one mistake that names the file."""
    file = tmp_path / "tocsin.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(str(file), {})
    assert caught.value.problems == [f"{file}: {problem}"]


def test_a_number_without_end(tmp_path: Path) -> None:
    """What Python will not read is one mistake, too."""
    file = tmp_path / "tocsin.toml"
    file.write_text("a = " + "9" * 5000)
    with pytest.raises(ConfigError, match="is not valid TOML: Exceeds the limit"):
        load(str(file), {})


def test_the_mark_of_other_editors(tmp_path: Path) -> None:
    """A byte order mark in front of UTF-8 is no part of the file, nor of a secret (OP-5)."""
    (tmp_path / "secret").write_text("0123456789abcdef0123456789abcdef\n", encoding="utf-8-sig")
    file = tmp_path / "tocsin.toml"
    file.write_text('[auth]\nshared_secret = { file = "secret" }\n', encoding="utf-8-sig")
    assert load(str(file), {}) == parse(KEY_SOURCE, folder=Path(), environ={})


def test_an_empty_name_is_no_name(tmp_path: Path) -> None:
    """`--config "$FILE"` with a variable that is not set does not mean the defaults (OP-4)."""
    with pytest.raises(ConfigError, match="--config: names no file"):
        load("", {"TOCSIN_CONFIG": str(tmp_path)})


def test_rules_across_fields_count_even_for_absent_tables(tmp_path: Path) -> None:
    """Without any source of keys no configuration is right, an empty one neither (CH-11)."""
    file = tmp_path / "tocsin.toml"
    file.touch()
    with pytest.raises(ConfigError, match="auth: set jwks_url, jwks_file or shared_secret"):
        load(str(file), {})


def test_mistakes_of_tables_and_across_fields_come_together() -> None:
    """A rule across one table's fields does not hide another table's mistake (OP-6)."""
    with pytest.raises(ConfigError) as caught:
        parse({"store": {"batch": 0}}, folder=Path(), environ={})
    assert sorted(line.partition(":")[0] for line in caught.value.problems) == [
        "auth",
        "store.batch",
    ]


def test_a_right_file_is_loaded(tmp_path: Path) -> None:
    """What is right loads, relative secrets starting at the file's own folder (OP-5)."""
    (tmp_path / "secret").write_text("0123456789abcdef0123456789abcdef\n")
    file = tmp_path / "tocsin.toml"
    file.write_text('[auth]\nshared_secret = { file = "secret" }\n')
    config = load(str(file), {})
    assert config == parse(KEY_SOURCE, folder=Path(), environ={})
