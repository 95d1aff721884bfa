"""All 42 faults of the list are played through by a test that bears their number."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_fault_has_a_test():
    refunds = Path(__file__).parents[1]
    names = "".join(path.read_text() for path in sorted(refunds.rglob("test_*.py")))
    played = {int(number) for number in re.findall(r"\ndef test_f([0-9]{2})_", names)}
    assert played == set(range(1, 43))
