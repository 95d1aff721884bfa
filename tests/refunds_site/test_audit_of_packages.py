"""What ``make audit`` says of the answers that pip-audit gives, and of none."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from django.conf import settings

GOOD = {"name": "django", "version": "5.2.8", "vulns": []}
BAD = {
    "name": "pillow", "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}  # fmt: skip
UNKNOWN = {"name": "ours", "skip_reason": "not found"}


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "audit_script", settings.BASE_DIR / ".ci/audit.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("found", [[], [UNKNOWN], [UNKNOWN] * 90])
def test_without_data_it_is_loud_and_passes(audit, found):
    [line], bad = audit.judge(found)
    assert line.startswith("!!! AUDIT NOT DONE")
    assert bad == 0


def test_a_vulnerability_fails_and_says_what_mends_it(audit):
    lines, bad = audit.judge([GOOD, BAD, UNKNOWN])
    assert lines == [
        "pillow 1.0: PYSEC-1, mended in 1.1.",
        "pillow 1.0: PYSEC-2, mended in no version yet.",
        "!!! Nothing is known of: ours. !!!",
        "2 packages looked up, 2 vulnerabilities.",
    ]
    assert bad == 2
    assert audit.judge([GOOD]) == (["1 packages looked up, 0 vulnerabilities."], 0)


@pytest.mark.parametrize(
    "says",
    ["print('{}')", "print('<html>')", "raise SystemExit(1)", "time.sleep(60)", "print('[]')"],
)
def test_what_gives_no_answer_in_time_is_no_answer(audit, monkeypatch, says):
    program = f"import time; {says}"
    monkeypatch.setattr(audit, "AUDIT", (sys.executable, "-c", program))
    assert audit.read(2) == []


def test_an_answer_is_read(audit, monkeypatch):
    program = 'print(\'{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}\')'
    monkeypatch.setattr(audit, "AUDIT", (sys.executable, "-c", program))
    assert audit.read(20) == [{"name": "a", "version": "1", "vulns": []}]
