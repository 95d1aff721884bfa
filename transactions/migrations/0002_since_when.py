from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("transactions", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="transaction",
            name="disputed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="transaction",
            name="voided_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(
                condition=models.Q(("voided_at__isnull", False)),
                fields=["account", "voided_at"],
                name="transaction_voided",
            ),
        ),
    ]
