"""Finding, reading and checking the configuration file (OP-4 to OP-6)."""

import codecs
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cattrs import BaseValidationError

from tocsin.config.problems import describe_problems
from tocsin.config.secrets import SecretSource
from tocsin.config.settings import CHECKS, Config
from tocsin.config.strict import make_converter
from tocsin.config.together import Checks, impossible_together, salvaged
from tocsin.model.errors import StartupError

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SYSTEM_FILE = Path("/etc/tocsin/tocsin.toml")
VARIABLE = "TOCSIN_CONFIG"


class ConfigError(StartupError):
    """The configuration is wrong; `problems` has one line `path: what is wrong` per mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: str | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration from the file `locate` finds, else the built-in defaults.

    Raises ConfigError with every mistake at once.
    """
    if path == "":  # a variable that is not set: it was not the defaults that were meant
        raise ConfigError(["--config: names no file"])
    file = locate(path, environ)
    folder = file.parent if file else Path()
    document = _read(file) if file else {}
    return parse(document, folder=folder, environ=environ)


def locate(path: str | None, environ: Mapping[str, str]) -> Path | None:
    """The argument, else `$TOCSIN_CONFIG`, else the system's file if there is one, else None."""
    named = path or environ.get(VARIABLE)
    if named:
        return Path(named)
    return SYSTEM_FILE if SYSTEM_FILE.exists() else None


def parse(
    document: Mapping[str, Any],
    *,
    folder: Path,
    environ: Mapping[str, str],
    checks: Checks = CHECKS,
) -> Config:
    """A parsed TOML document as a Config; ConfigError has every mistake.

    `checks` are the rules across fields; the plain defaults do not pass them all, for some
    things only an operator can decide.
    """
    converter = make_converter(SecretSource(folder, environ))
    problems: list[str] = []
    try:
        config = converter.structure(document, Config)
    except BaseValidationError as error:
        problems += describe_problems(error, Config)
        config = salvaged(document, Config, converter)
    problems += impossible_together(config, checks)
    if problems:
        raise ConfigError(problems)
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
    if data.startswith(UTF_16) or b"\0" in data:
        raise ConfigError([f"{file}: is UTF-16, or no text at all; save it as UTF-8"])
    try:
        # Editors of other systems put a mark in front, which is no part of the text.
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: is not UTF-8 text"]) from error
    except RecursionError as error:
        raise ConfigError([f"{file}: is not valid TOML: too deeply nested"]) from error
    except ValueError as error:  # the library's own, and Python's of a number without end
        raise ConfigError([f"{file}: is not valid TOML: {error}"]) from error
