"""What the customer may read of a refund, apart from the internal note."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('refunds', '0010_made_as'),
    ]

    operations = [
        migrations.AddField(
            model_name='refund',
            name='words',
            field=models.TextField(blank=True, db_default='', verbose_name='words for the customer'),
        ),
    ]
