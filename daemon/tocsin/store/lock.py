"""One daemon per store: a lock the kernel takes back when the process dies."""

import fcntl
import os
from pathlib import Path

from tocsin.model.errors import StartupError


def lock_store(path: str) -> int:
    """Lock a store's file for this process; the descriptor to keep open as long as it is used.

    Raises `StartupError` when another process has it.
    """
    file = Path(f"{path}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"store {path}: {error.strerror} ({file})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartupError(f"store {path}: in use by another daemon") from error
    return descriptor
