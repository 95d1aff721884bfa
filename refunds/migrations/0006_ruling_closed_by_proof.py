"""Proof that comes before a second person closes a ruling: then nobody has decided it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("refunds", "0005_webhook_log")]

    operations = [
        migrations.RemoveConstraint(model_name="ruling", name="ruling_is_decided_by_somebody"),
        migrations.AddConstraint(
            model_name="ruling",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("decided_at__isnull", False),
                    models.Q(("confirmed", False), ("decided_by__isnull", True)),
                    _connector="OR",
                ),
                name="ruling_is_decided_with_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="ruling",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("confirmed", False), ("decided_by__isnull", False), _connector="OR"
                ),
                name="ruling_is_confirmed_by_somebody",
            ),
        ),
    ]
