"""Refunds that are one of many, and leave after what was asked for by itself."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('refunds', '0011_words_for_the_customer'),
    ]

    operations = [
        migrations.AddField(
            model_name='refund',
            name='is_bulk',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
