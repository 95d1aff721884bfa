"""Indexes of tables that are full, built while others write: no lock, and as long as it takes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("refunds", "0019_audit_log")]

    operations = [
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="refund",
            index=models.Index(fields=["requested_by", "-created_at"], name="refund_by_requester"),
        ),
        AddIndexConcurrently(
            model_name="refundevent",
            index=models.Index(fields=["-at", "-sequence"], name="event_newest"),
        ),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
