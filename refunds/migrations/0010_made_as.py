import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("refunds", "0009_taken_back")]

    operations = [
        migrations.AddField(
            model_name="refund",
            name="made_as",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="counts_for",
                to="refunds.refund",
            ),
        ),
    ]
