from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("refunds", "0006_ruling_closed_by_proof"),
        ("transactions", "0002_since_when"),
    ]

    operations = [
        migrations.AddField(
            model_name="refund",
            name="confirmed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="refundattempt",
            index=models.Index(fields=["account", "first_sent_at"], name="attempt_by_first_send"),
        ),
    ]
