"""Sessions that a person has ended from another place."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('access', '0004_account_roles'),
    ]

    operations = [
        migrations.AddField(
            model_name='profile',
            name='generation',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
    ]
