"""The index behind the list of payments that may have been made twice."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('transactions', '0006_customers_twins_exchanges'),
    ]

    atomic = False  # tables of millions of rows stay writable meanwhile

    operations = [
        # The limits of a request are too short for that.
        migrations.RunSQL("SET statement_timeout = 0", "SET statement_timeout = 0"),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(condition=models.Q(('has_twin', True)), fields=['-created_at', '-id'], name='transaction_with_a_twin'),
        ),
        migrations.RunSQL("RESET statement_timeout", "RESET statement_timeout"),
    ]
