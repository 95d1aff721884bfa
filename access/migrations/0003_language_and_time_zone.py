"""Language and time zone per person."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('access', '0002_profile'),
    ]

    operations = [
        migrations.AddField(
            model_name='profile',
            name='language',
            field=models.CharField(blank=True, db_default='', max_length=10, verbose_name='language'),
        ),
        migrations.AddField(
            model_name='profile',
            name='time_zone',
            field=models.CharField(blank=True, db_default='', max_length=60, verbose_name='time zone'),
        ),
    ]
