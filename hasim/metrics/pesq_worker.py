"""PESQ of pairs of signals, in a process of its own: its C code can end the process it runs in.

Reads an .npy array (pair, 2, sample) of references and estimates at 16 kHz from standard input and
writes one line of JSON per pair, `{"score": 2.71}` or `{"error": "NoUtterancesError: ..."}`, each
as soon as it is known. It is run by its path and imports nothing of hasim, so that it starts at
once.
"""

from __future__ import annotations

import io
import json
import os
import sys

import numpy as np


def main() -> int:
    """Score what is on standard input; exit code 3 where pesq is not installed."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the library prints is no answer
    try:
        from pesq import pesq
    except ImportError:
        return 3
    pairs = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    for reference, estimate in pairs:
        answer: dict[str, float | str]
        try:
            if np.any(reference) and not np.any(estimate):
                raise ValueError("silent output in a segment with speech")
            answer = {"score": float(pesq(16000, reference, estimate, "wb"))}
        except Exception as error:  # every complaint of the library is an answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
