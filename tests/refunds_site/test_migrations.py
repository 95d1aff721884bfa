"""Migrations run while the code of before still works: they only add, and what they add may be left out.

Columns and tables go in a release after the one that stopped using them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

APPS = {"access", "campaigns", "gateways", "refunds", "transactions"}
# The newest of each app when this began to be looked at. What came before made empty tables.
SINCE = {"access": 4, "campaigns": 1, "gateways": 3, "refunds": 16, "transactions": 7}
# Takes away what the release before no longer used: (app, migration) → why it is safe by now.
TAKES_AWAY: dict[tuple[str, str], str] = {
    ("refunds", "0017_approval_rules"): "Limits became rules before any release had them."
}

_TAKING = (
    migrations.RemoveField,
    migrations.DeleteModel,
    migrations.RenameField,
    migrations.RenameModel,
    migrations.AlterModelTable,
)


def problems(operations: list[migrations.operations.base.Operation]) -> Iterator[str]:
    """Why code of the release before could not go on beside these."""
    made = {
        operation.name.lower()
        for operation in operations
        if isinstance(operation, migrations.CreateModel)
    }
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from problems(operation.database_operations)
            continue
        name = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if name in made:
            continue  # nobody knows that table yet
        if isinstance(operation, _TAKING):
            yield f"{operation.describe()}: the code of before still reads it"
        if isinstance(operation, migrations.AddField) and not _may_be_left_out(operation.field):
            yield f"{operation.describe()}: the code of before inserts rows without it"
        # So Django marks a column that may no longer be empty.
        if isinstance(operation, migrations.AlterField) and not operation.preserve_default:
            yield f"{operation.describe()}: the code of before may leave it empty"


def _may_be_left_out(field: models.Field) -> bool:
    """Whether a row can be inserted by who does not know the column."""
    return (
        field.many_to_many or field.null or field.db_default is not NOT_PROVIDED or field.generated
    )


def ours() -> list[tuple[str, str]]:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return [
        (app, name)
        for app, name in sorted(loader.disk_migrations)
        if app in APPS and int(name[:4]) > SINCE.get(app, 0)
    ]


def test_what_is_deployed_only_adds():
    loader = MigrationLoader(None, ignore_no_migrations=True)
    found = [
        f"{app}.{name}: {problem}"
        for app, name in ours()
        if (app, name) not in TAKES_AWAY
        for problem in problems(loader.disk_migrations[app, name].operations)
    ]
    assert found == []


def test_what_is_excused_exists():
    assert set(TAKES_AWAY) <= set(ours())


@pytest.mark.parametrize(
    ("app", "name", "found"),
    [
        # Of before this was looked at: tables were small, and nobody had a release to go on with.
        ("refunds", "0012_bulk", []),
        ("refunds", "0014_held", []),
        ("refunds", "0015_approval_limits", []),
        ("gateways", "0003_fees_and_arrival", ["the code of before inserts rows without it"]),
    ],
)
def test_it_tells_those_that_add_from_those_that_break(app, name, found):
    loader = MigrationLoader(None, ignore_no_migrations=True)
    said = {
        each.partition(": ")[2] for each in problems(loader.disk_migrations[app, name].operations)
    }
    assert sorted(said) == found


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RemoveField("refund", "note"),
        migrations.RenameField("refund", "note", "remark"),
        migrations.DeleteModel("Refund"),
        migrations.RenameModel("Refund", "Payback"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_taking_away_is_noticed(operation):
    (said,) = problems([operation])
    assert said.endswith("the code of before still reads it")


def test_what_may_no_longer_be_empty_is_noticed():
    altered = migrations.AlterField(
        "refund", "note", models.TextField(default=""), preserve_default=False
    )
    (said,) = problems([altered])
    assert said.endswith("the code of before may leave it empty")


def test_indexes_of_full_tables_have_the_time_that_they_take():
    """Every connection ends statements after ten seconds: building one over millions takes longer."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    full = {"transaction", "refund", "refundevent", "refundattempt", "customer"}
    found = []
    for app, name in ours():
        operations = loader.disk_migrations[app, name].operations
        is_free = any(
            isinstance(each, migrations.RunSQL) and "SET statement_timeout = 0" in str(each.sql)
            for each in operations
        )
        found += [
            f"{app}.{name}: {each.describe()}"
            for each in operations
            if isinstance(each, migrations.AddIndex) and each.model_name in full and not is_free
        ]
    assert found == []
