"""The rules that are shipped ask for numbers that exist, and the page tells of the same rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import Client
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from campaigns.models import CampaignState
from refunds.models import AttentionKind
from refunds.states import Status

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "operations.md").read_text()
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROJECT / "docs" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
OF_EXPRESSIONS = {
    *("sum", "max", "rate", "by", "on", "unless", "and", "or", "absent", "ignoring")
} | {*("delta", "increase", "histogram_quantile", "max_over_time", "up", "job", "le")}
LABELS = {"account", "status", "kind", "task", "outcome", "state"}
STATEMENTS = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(params=RULES, ids=lambda rule: rule["alert"])
def rule(request) -> dict[str, Any]:
    return request.param


def section(name: str) -> str:
    """What the page says of an alert."""
    (found,) = re.findall(rf"^### {name}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture
def known(db, settings) -> set[str]:
    """The names of all numbers, also of those that no process has measured yet."""
    settings.METRICS_TOKEN = "a-random-word-of-20-characters"
    client = Client(headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"})
    text = client.get("/metrics").content.decode()
    of_rows = {family.name for family in text_string_to_metric_families(text)}
    measured = {metric.name for metric in REGISTRY.collect() if metric.type == "histogram"}
    return of_rows | {f"{name}_{part}" for name in measured for part in ("bucket", "count", "sum")}


def test_every_number_exists(rule, known):
    words = set(re.findall(r"[a-z_]+", re.sub(r'"[^"]*"|\[\w+\]', "", rule["expr"])))
    numbers = {word for word in words if word.startswith("refund_desk_")}
    assert numbers <= known
    assert numbers or rule["alert"] == "DeskNotScraped"
    assert words - numbers <= OF_EXPRESSIONS | LABELS


def test_every_label_has_such_a_value(rule, all_tasks):
    values: dict[str, set[str]] = {
        "status": {*Status.values, "5xx"},
        "kind": set(AttentionKind.values),
        "state": set(CampaignState.values),
        "task": set(all_tasks),
        "outcome": {"success", "failure"},
        "job": {"refund-desk"},
    }
    for label, text in re.findall(r'(\w+)(?:=|!=|=~)"([^"]*)"', rule["expr"]):
        assert set(text.split("|")) <= values[label]


def test_the_page_tells_of_the_same_rule(rule):
    text = section(rule["alert"])
    severity, wait = rule["labels"]["severity"], rule.get("for")
    assert severity in {"page", "ticket"}
    assert f"*{severity.capitalize()}{f', after {wait}' if wait else ''}.*" in text
    assert rule["annotations"]["summary"] in text
    assert f"```promql\n{rule['expr']}\n```" in text
    assert text.strip().splitlines()[-1] != "```"  # what to do


def test_the_page_tells_of_no_other_rule():
    (alerts,) = re.findall(r"^## Alerts\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^### (\w+)$", alerts, re.MULTILINE) == [rule["alert"] for rule in RULES]


@pytest.mark.django_db
@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda text: " ".join(text.split()[:6]))
def test_the_statements_of_the_page_work(statement):
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute(statement)
        assert cursor.description


def test_there_are_statements():
    assert len(STATEMENTS) >= len(RULES) - 5
