"""The daemon's configuration: one TOML file, checked whole before anything starts."""

from tocsin.config.doubts import doubts
from tocsin.config.loading import ConfigError, load, locate, parse
from tocsin.config.reloading import differences, merged
from tocsin.config.settings import Config

__all__ = ["Config", "ConfigError", "differences", "doubts", "load", "locate", "merged", "parse"]
