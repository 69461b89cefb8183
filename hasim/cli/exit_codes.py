"""Exit codes, and which error ends in which code with which lines on stderr.

0 done; 1 a part of a study failed; 2 wrong usage; 3 invalid scenario; 4 bad input file; 5 a limit
of disk, memory or time; 70 an error in hasim; 130 interrupted; 143 terminated. A run that does not
fit its device is a result, so its code is 0.
"""

from __future__ import annotations

import errno

PARTLY_FAILED = 1
INVALID_SCENARIO = 3
BAD_INPUT_FILE = 4
LIMIT = 5
INTERNAL_ERROR = 70
INTERRUPTED = 130

CANNOT_WRITE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE),
}
"""Errors of the operating system for which the disk or the user's rights are the reason."""


def code_and_lines(error: BaseException) -> tuple[int, list[str]]:
    """The exit code of an error, and the lines that explain it."""
    from hasim.config.spec import InputError, LimitError

    if isinstance(error, InputError):
        return BAD_INPUT_FILE, [str(error)]
    if isinstance(error, LimitError):
        return LIMIT, [str(error)]
    if isinstance(error, MemoryError):
        return LIMIT, [f"hasim: out of memory: {error}"]
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return LIMIT, [f"hasim: {error.filename or 'the result'}: {error.strerror}"]
    from hasim.config.diagnostics import ScenarioError

    if isinstance(error, ScenarioError):
        return INVALID_SCENARIO, [str(problem) for problem in error.problems]
    message = " ".join(str(error).split())
    return INTERNAL_ERROR, [
        f"hasim: internal error: {type(error).__name__}: {message}",
        "hasim: `hasim --traceback ...` shows where; please report it with the scenario",
    ]
