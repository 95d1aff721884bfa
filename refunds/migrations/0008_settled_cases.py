"""The settled cases are listed, the last first."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("refunds", "0007_confirmed_by_the_processor")]

    operations = [
        migrations.AddIndex(
            model_name="attention",
            index=models.Index(
                fields=["-closed_at", "-id"],
                condition=Q(closed_at__isnull=False),
                name="attention_settled",
            ),
        ),
    ]
