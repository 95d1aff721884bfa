"""The rules of our own that ``make lint`` checks: what breaks them is named, and this code does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

BROKEN = {
    "refunds/a.py": [
        "from django.utils.safestring import mark_safe", "mark_safe(name)", "safestring.mark_safe(x)",
        "SafeString(name)", 'format_html(f"<b>{name}</b>")', 'format_html("<b>%s</b>" % name)',
        'format_html("<b>{}</b>".format(name))', 'format_html("<b>" + name)', "@csrf_exempt\ndef a(): ...",
        "import requests", "import urllib.request", "from urllib import request",
        "from urllib.request import urlopen", "import http.client as web", "from http import client",
        "import httpx", "try:\n  a()\nexcept Exception:\n  pass", "try:\n  a()\nexcept:\n  b()",
        "try:\n  a()\nexcept (ValueError, BaseException):\n  return None",
        "RawSQL('1', [])", "rows.extra(where=['1'])", 'cursor.execute(f"SELECT {name}")',
        'cursor.execute(f"SELECT {NAMES[0]}")', 'cursor.execute("SELECT %s" % name)',
        'cursor.execute("SELECT " + name)', 'cursor.execute("SELECT {}".format(name))',
        'Row.objects.raw(f"SELECT {row.name}")', "json.loads(request.body)",
        "json.loads(request.body.decode())", 'float("1.5")', "print(name)",
    ],
    "gateways/stripe.py": ["import requests", "float(amount)"],
    "audit/a.py": ["print(1)", "mark_safe(x)"],
    "refunds/webhook_views.py": ["mark_safe(x)"],
    "templates/a.html": ["{{ name|safe }}", "{{ name | safe }}", "{% autoescape off %}"],
    "templates/jinja2/a.jinja": ["{{ name|safe }}"],
}  # fmt: skip
FINE = {
    "refunds/a.py": [
        'format_html("<b>{}</b>", name)', "from django.utils.safestring import SafeString",
        "try:\n  a()\nexcept Exception:\n  raise", "try:\n  a()\nexcept ValueError:\n  pass",
        "try:\n  a()\nexcept Exception:\n  log.exception('broke')",
        'cursor.execute("SELECT %s", [name])', 'cursor.execute(f"SELECT {_NAMES}", [name])',
        "rows.extend([1])", "json.loads(line)", "import http", "from http import HTTPStatus",
        "log.info('printed')", "from urllib.parse import urlsplit",
    ],
    "audit/a.py": ["float(seconds)"],
    "refunds/management/commands/a.py": ["print(1)"],
    "refunds/webhook_views.py": ["@csrf_exempt\ndef a(): ..."],
    "gateways/transport.py": ["import http.client"],
    "gateways/sandbox/a.py": ["import http.client", "json.loads(request.body)"],
    "templates/a.html": ["{{ name }}", "{% translate 'safe' %}", "{{ name|safely }}"],
    "templates/a.txt": ["{% autoescape off %}{{ name }}"],
}  # fmt: skip


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, settings.BASE_DIR / ".ci" / "rules.py", str(folder)]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def write(folder: Path, name: str, lines: list[str]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_this_code_breaks_none():
    done = check(settings.BASE_DIR)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named_with_its_line(tmp_path, name):
    for number, lines in enumerate(BROKEN[name]):
        folder = tmp_path / str(number)
        write(folder, name, ["", lines])
        done = check(folder)
        assert done.returncode == 1, lines
        assert done.stderr.startswith(f"{name}:"), lines
        line, _colon, says = done.stderr.removeprefix(f"{name}:").partition(": ")
        assert 2 <= int(line) <= 5, lines
        assert says.strip().endswith("."), lines


@pytest.mark.parametrize("name", FINE)
def test_what_breaks_none_is_let_be(tmp_path, name):
    for number, lines in enumerate(FINE[name]):
        folder = tmp_path / str(number)
        write(folder, name, [lines])
        assert check(folder).stderr == "", lines
