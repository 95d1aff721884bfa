"""The fixed slice of ``make chaos``: it has to end by itself, having found nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", ["grid", "random", "machine", "processes"])
def test_nothing_is_found(part):
    command = [sys.executable, "-m", "chaos", "--fixed", "--jobs", "1", "--only", part]
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    done = subprocess.run(
        command, cwd=_PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "│ all" in done.stdout
