"""`hasim` and `python -m hasim`: prepare the process, then run the command line."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line; the exit code is the process's."""
    # Linear algebra here is many small matrices: one thread is faster than several, leaves the
    # other cores to other runs, and gives the same last bits whatever the number of cores. The
    # libraries read these once, when NumPy is first imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # Leave by an exception, so that half-written files are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    from hasim.cli.app import app

    app()


if __name__ == "__main__":
    main()
