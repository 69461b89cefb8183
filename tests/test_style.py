"""Format, lint and types are tests like all others."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _passes(*command: str) -> None:
    if find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    process = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_lint():
    _passes("ruff", "check", "--no-cache", ".")


def test_format():
    _passes("ruff", "format", "--check", "--no-cache", ".")


def test_types():
    _passes("mypy")
