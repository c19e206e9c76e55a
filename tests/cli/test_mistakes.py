"""What a tired operator writes: each mistake is one line that says what to do (OP-3, OP-6)."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.fakes.tokens import SECRET

from tocsin.cli.main import tocsin

ENVIRONMENT = {"TOCSIN_CONFIG": "", "TOCSIN_TOKEN": "", "TOCSIN_URL": ""}
NO_ADDRESS = 'is no address; write "127.0.0.1:8080", "[::1]:8080", "unix:/path" or "systemd:name"'
NO_NETWORK = "does not appear to be an IPv4 or IPv6 network"

CONFIGURATIONS = [
    ('listen.public = "8080"', "listen.public", NO_ADDRESS),
    ('listen.public = ":8080"', "listen.public", NO_ADDRESS),
    ('listen.public = "http://127.0.0.1:8080"', "listen.public", NO_ADDRESS),
    ('listen.public = "*:8080"', "listen.public", NO_ADDRESS),
    ('listen.public = "127.0.0.1:80800"', "listen.public", NO_ADDRESS),
    ('listen.admin = "unix:relative"', "listen.admin", NO_ADDRESS),
    ("listen.public = 8080", "listen.public", "must be a string or a list of strings, not 8080"),
    ('listen.admin = "127.0.0.1:8080"', "listen.admin", "is taken by 127.0.0.1:8080 of listen.pub"),
    ('listen.public = "[::zz]:80"', "listen.public", '"::zz" is no IP address'),
    ('listen.public = "10.0.0:80"', "listen.public", '"10.0.0" is no IP address'),
    (f'listen.public = "unix:/{"s" * 107}"', "listen.public", "at most 107 bytes, this one 108"),
    ('listen.unix_mode = "rw"', "listen.unix_mode", 'three octal digits, as "0660"'),
    ("listen.unix_mode = 660", "listen.unix_mode", "must be a string"),
    ("listen.public = []", "listen.public", "must name at least one address"),
    ('listen.publik = "x"', "listen.publik", "unknown option, did you mean listen.public?"),
    ('listen = "127.0.0.1:80"', "listen", "must be a table, not a string"),
    ('state_dir = ""', "state_dir", "must not be empty"),
    ('store.path = "/"', "store.path", "is a directory; name a file in it"),
    ('store.path = ":memory:"', "store.path", "must be a file"),
    ('store.path = "a\\u0000b"', "store.path", "must not have a NUL in it"),
    ('state_dir = "/dev/null/x"', "state_dir", "/dev/null is no directory"),
    ('store.path = ""', "store.path", "must not be empty"),
    (
        'tls.certificate = "/x.pem"\ntls.key = "-----BEGIN PRIVATE KEY-----"',
        "tls.certificate",
        "say { file =",
    ),
    ('tls.certificate = { file = "/no/such" }', "tls.certificate", "/no/such cannot be read"),
    ('tls.key = "-----BEGIN PRIVATE KEY-----"', "tls.certificate", "must be set, too"),
    ('tls.minimum = "1.1"', "tls.minimum", "must be one of 1.2, 1.3"),
    ('public_base_url = "example.com"', "public_base_url", "must be http://host[:port]"),
    ('public_base_url = "https://x/y"', "public_base_url", "without a path"),
    ('trusted_proxies = "10.0.0.0/8"', "trusted_proxies", "must be a list of strings"),
    ('trusted_proxies = ["10.0.0.1/8"]', "trusted_proxies", "has host bits set"),
    ('trusted_proxies = ["proxy"]', "trusted_proxies", NO_NETWORK),
    ('cors.origins = ["app.example"]', "cors.origins", 'write "https://app.example"'),
    ('cors.origins = ["https://x/"]', "cors.origins", "without a slash at the end"),
    ('auth.jwks_url = "ftp://x"', "auth.jwks_url", "must be an http or https address"),
    ('auth.jwks_file = "/no/such"', "auth.jwks_file", "/no/such: No such file or directory"),
    ('auth.default_scopes = ["all"]', "auth.default_scopes", "must be one of channels, publish,"),
    ('auth.issuer = { env = "NOT_SET" }', "auth.issuer", "variable NOT_SET is not set"),
    ('auth.issuer = { credential = "x" }', "auth.issuer", "$CREDENTIALS_DIRECTORY is not set"),
    (
        'auth.builtin.enabled = true\nauth.builtin.users.alice.password = "open sesame"',
        "auth.builtin.users.alice.password",
        "is not a hash made by `tocsin token hash`",
    ),
    ('messaging.prefix = "messaging"', "messaging.prefix", "must begin with /"),
    ('messaging.prefix = "/v1"', "messaging.prefix", "take a name of its own"),
    ("messaging.introspect_jwt = true", "messaging.introspect_jwt", "needs auth.introspection.url"),
    ('messaging.user_template = "x"', "messaging.user_template", "must contain {subscriber}"),
    ('messaging.prefix = "/a b?c"', "messaging.prefix", "else be plain segments"),
    ('messaging.prefix = "/v1/messaging"', "messaging.prefix", "/v1/messaging is something else"),
    ('messaging.prefix = "/cpaas"', "messaging.prefix", "/cpaas is something else"),
    ('messaging.allowed_origins = ["https://x/"]', "messaging.allowed_origins", "without a slash"),
    ('messaging.allowed_origins = ["https://x/y"]', "messaging.allowed_origins", "without a path"),
    ('messaging.subscriber_claim = ""', "messaging.subscriber_claim", "must not be empty"),
    ('messaging.subscriber_claim = "\\n"', "messaging.subscriber_claim", "must be printable"),
    ('messaging.domain_claim = "\\t"', "messaging.domain_claim", "must be printable"),
    ('messaging.default_domain = "\\u0007"', "messaging.default_domain", "must be printable"),
    (f'messaging.default_domain = "{"x" * 129}"', "messaging.default_domain", "at most 128"),
    (
        'messaging.domain_claim = ""\nmessaging.default_domain = ""',
        "messaging.default_domain",
        "must not be empty, or messaging.domain_claim name a claim",
    ),
    (
        'messaging.user_template = "{subscriber}{domain}"',
        "messaging.user_template",
        "must have something between its fields",
    ),
    (
        'messaging.user_template = "{subscriber:.3}@{domain}"',
        "messaging.user_template",
        "must contain its fields plain",
    ),
    (
        'messaging.user_template = "{subscriber}\\n{domain}"',
        "messaging.user_template",
        "must be printable",
    ),
    (
        "messaging.limits.content_bytes = 1_048_576",
        "messaging.limits.content_bytes",
        "must be, with attributes_bytes, at most 1_044_480: a message is 1 MiB",
    ),
    ('netapi.prefix = "/v1/messaging"', "netapi.prefix", "/v1/messaging is messaging's"),
    (
        'netapi.prefix = ""\nservices.fax.path = "/v1/messaging/{user}"',
        "services.fax.path",
        "/v1/messaging is messaging's",
    ),
    ('netapi.prefix = "cpaas/"', "netapi.prefix", "must be empty, or begin with /"),
    ('netapi.prefix = "/a b"', "netapi.prefix", "plain segments"),
    ('services.sms.path = "/x/{user}"', "services", "sms is a standard service"),
    ('services.fax.path = "/fax"', "services.fax.path", "hold {user} once as a segment"),
    ("delivery.webhook_retries = []", "delivery.webhook_retries", "not empty"),
    ("delivery.webhook_retries = 5", "delivery.webhook_retries", "must be a list of numbers"),
    ("drain.window = -1", "drain.window", "must be at least 0"),
    ('drain.window = "5s"', "drain.window", "must be a number, not a string"),
    ('log.level = "INFO"', "log.level", "must be one of debug, info,"),
    ("limits.body = 10_000_000_000", "limits.body", "must be at most 67_108_864"),
    ("publish.body = 67_108_865", "publish.body", "must be at most 67_108_864"),
    (f"limits.backlog = {10**11}", "limits.backlog", "must be at most 10_000_000_000"),
    (f"drain.window = 1{'0' * 400}", "drain.window", "must be at most 10_000_000_000"),
    ("delivery.dead_letter_days = 1e9", "delivery.dead_letter_days", "must be a whole number"),
    ('limits.body = "1MiB"', "limits.body", "must be a whole number, not a string"),
    ("limits.connections = 5", "limits.connections", "did you mean limits.http_connections?"),
    ('push.keys.a.provider = "apple"', "push.keys.a.provider", "must be one of apns, fcm"),
    ('push.apps.a = { provider = "apns", key = "b" }', "push.apps.a.key", "no [push.keys.b]"),
    ("push.reporters.main = {}", "push.reporters.main.secret", "is missing"),
    (
        'operator.webhook_url = "https://10.0.0.1/"',
        "operator.webhook_url",
        "10.0.0.1 must be in webhooks.allow_networks",
    ),
    ('push.feedback_url = "https://localhost/"', "push.feedback_url", "127.0.0.1 must be in"),
    ('push.feedback_url = "x"', "push.feedback_url", "https://host[:port]/path"),
    ('webhooks.allow_networks = ["x"]', "webhooks.allow_networks", NO_NETWORK),
    ('webhooks.allow_http = ["http://h.example/"]', "webhooks.allow_http", "path: 'h.example'"),
    ('webhooks.hosts."h.example:80" = {}', "webhooks.hosts", "write the host alone"),
    ('webhooks.signing_secret = "x"', "webhooks.signing_secret", "must be whsec_ and base64"),
    ('ws.engine = "uvloop"', "ws.engine", "must be one of auto, reactor, trio-websocket"),
]


@pytest.mark.parametrize(("text", "path", "advice"), CONFIGURATIONS)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_configurations(command: str, text: str, path: str, advice: str, tmp_path: Path) -> None:
    """OP-6: status 2 and one line, its path first; the secrets in the file are not in it."""
    file = tmp_path / "tocsin.toml"
    file.write_text(f'auth.shared_secret = "{SECRET}"\n{text}\n')
    result = CliRunner(env=ENVIRONMENT).invoke(tocsin, [command, "--config", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    line, *counted = result.stderr.splitlines()
    assert line.startswith(f"{path}: ")
    assert advice in line
    assert counted == ([f"{file}: 1 mistake"] if command == "check" else [])
    assert SECRET not in line
    assert "open sesame" not in line


COMMAND_LINES = [
    (["servr"], "Did you mean 'serve'?"),
    (["serve", "--confg", "x"], "Did you mean '--config'?"),
    (["serve", "tocsin.toml"], "unexpected extra argument (tocsin.toml)"),
    (["serve", "--config"], "'--config' requires an argument"),
    (["check", "--config", "/no/such"], "/no/such: cannot be read: No such file or directory"),
    (["check", "--config", "/"], "/: cannot be read: Is a directory"),
    (["explain", "listen.publik"], "Did you mean listen.public?"),
    (["explain", "Listen.Public"], "Did you mean listen.public?"),
    (["token", "create", "--user", ""], "Invalid value for '--user': names nobody"),
    (["token", "create"], "Missing option '--user'"),
    (["token", "create", "--user", "a"], "set jwks_url, jwks_file or shared_secret"),
    (["token", "create", "--user", "a", "--scope", "all"], "is not one of 'channels', 'publish',"),
    (["check", "--config", ""], "--config: names no file"),
    (["serve", "--config", ""], "--config: names no file"),
    (
        ["token", "revoke", "x"],
        "Missing option '--token' (env var: 'TOCSIN_ADMIN_TOKEN', 'TOCSIN_T",
    ),
    (["lanes", "list"], "'TOCSIN_TOKEN')"),
    (["publish", "alice", "{}"], "Missing option '--token' (env var: 'TOCSIN_TOKEN')"),
    (["lanes", "list", "--token", "x", "--url", "9464"], "--url must be of the form http://"),
    (["channels", "show", "--token", "x"], "Missing argument 'CHANNEL_ID'"),
    (["deliveries", "list", "--token", "x", "--limit", "all"], "is not a valid integer"),
    (["listen", "ws-1", "--token", "x"], "Missing option '--url' (env var: 'TOCSIN_URL')"),
    (["listen", "ws-1", "--token", "x", "--url", "ws://x"], "--url must be of the form http://"),
    (["listen", "ws-1", "--token", "x", "--url", "http://x"], "--token is no JWT"),
    (["publish", "alice"], "Missing argument 'JSON|-|@FILE'"),
    (["push", "com.example.app"], "Missing argument 'TOKEN'"),
]


@pytest.mark.parametrize(("arguments", "advice"), COMMAND_LINES)
def test_command_lines(arguments: list[str], advice: str) -> None:
    """OP-3: bad usage is status 2, said on standard error, without a traceback."""
    result = CliRunner(env=ENVIRONMENT).invoke(tocsin, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert advice in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_nobody_there() -> None:
    """OP-3: a daemon that does not answer is a failure, and the line says where to look."""
    arguments = ["lanes", "list", "--token", "x", "--url", "http://127.0.0.1:1"]
    result = CliRunner(env=ENVIRONMENT).invoke(tocsin, arguments)
    assert result.exit_code == 1
    assert "is the daemon running there? --url says where" in result.stderr
