"""Refunds that are held back, whatever becomes of them."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('refunds', '0013_doubts'),
    ]

    operations = [
        migrations.AddField(
            model_name='refund',
            name='is_held',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
