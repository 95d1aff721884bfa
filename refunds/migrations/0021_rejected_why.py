"""Why somebody rejected a refund stands on its row, where it can be erased with the customer."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("refunds", "0020_more_indexes")]

    operations = [
        migrations.AddField(
            model_name="refund",
            name="rejected_why",
            field=models.TextField(blank=True, db_default=""),
        ),
    ]
