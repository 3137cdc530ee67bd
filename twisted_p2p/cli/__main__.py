"""The ``p2p`` command as a program, from its very beginning; ``python -m twisted_p2p.cli`` too."""

import os
import sys

from .exit_status import ExitStatus


def main() -> None:
    """Run the command and exit with its status."""
    _open_missing_streams()
    try:
        from .main import run  # noqa: PLC0415 (it takes a while, in which one may interrupt it)

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = ExitStatus.INTERRUPTED
    sys.exit(status)


def _open_missing_streams() -> None:
    """Let what the caller closed lead nowhere, or the next files opened would take its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (for as long as it runs)


if __name__ == "__main__":
    main()
