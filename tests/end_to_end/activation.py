"""Becomes a command that is passed one listening socket as systemd passes them:

python activation.py DESCRIPTOR NAME command ...
"""

import os
import sys
from typing import Final

FIRST_PASSED: Final = 3


def main() -> None:
    """The descriptor becomes the first of those passed, and the process is the one it is for."""
    descriptor, name, *command = sys.argv[1:]
    if int(descriptor) == FIRST_PASSED:
        os.set_inheritable(FIRST_PASSED, True)
    else:
        os.dup2(int(descriptor), FIRST_PASSED)
        os.close(int(descriptor))
    passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": name}
    os.execvpe(command[0], command, {**os.environ, **passed})


if __name__ == "__main__":
    main()
