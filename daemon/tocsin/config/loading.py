"""Finding, reading and checking the configuration file (OP-4 to OP-6)."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cattrs import BaseValidationError

from tocsin.config.catalogue import entries
from tocsin.config.problems import describe_problems
from tocsin.config.secrets import SecretSource
from tocsin.config.settings import CHECKS, Config
from tocsin.config.strict import Checks, CrossFieldError, make_converter
from tocsin.model.errors import StartupError

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
    converter = make_converter(SecretSource(folder, environ), checks)
    try:
        return converter.structure(_with_all_tables(document), Config)
    except (BaseValidationError, CrossFieldError) as error:
        raise ConfigError(describe_problems(error, Config)) from error


def _with_all_tables(document: Mapping[str, Any]) -> dict[str, Any]:
    """Tables that were left out are empty ones, so that their checks run too."""
    tables = [entry.path for entry in entries(Config) if entry.table and "." not in entry.path]
    return {**{name: {} for name in tables}, **document}


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: is not UTF-8 text"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: is not valid TOML: {error}"]) from error
