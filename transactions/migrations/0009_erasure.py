"""Customers and their payments may be erased: a pseudonym stands in the place of the person."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('transactions', '0008_by_card'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='customer',
            options={'permissions': [('merge_customer', 'Can merge customers, and part them again'), ('erase_customer', 'Can erase the personal data of customers')], 'verbose_name': 'customer', 'verbose_name_plural': 'customers'},
        ),
        migrations.AddField(
            model_name='customer',
            name='erased_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='transaction',
            name='is_erased',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
