"""Roles that a person has for one account alone."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('access', '0003_language_and_time_zone'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('gateways', '0003_fees_and_arrival'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AccountRole',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='gateways.processoraccount', verbose_name='account')),
                ('role', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='account_roles', to='auth.group', verbose_name='role')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='account_roles', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'role for one account',
                'verbose_name_plural': 'roles for one account',
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('user', 'role', 'account'), name='account_role_is_given_once')],
            },
        ),
    ]
