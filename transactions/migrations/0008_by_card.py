"""Payments are found by the brand and the last four digits of their card.

Built while others write, and as long as it takes.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("transactions", "0007_twins_by_time")]

    operations = [
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="transaction",
            index=models.Index(
                condition=~Q(last4=""), fields=["last4", "brand"], name="transaction_by_card"
            ),
        ),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
