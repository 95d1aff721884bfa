"""Both chains of the audit trail as one view, walked by time; and no TRUNCATE of what stays.

Each half of the view reads one table and names its columns as they are, so that PostgreSQL merges
two walks along the indexes by time and stops after a page.
"""

from django.conf import settings
from django.db import migrations, models

VIEW = """
CREATE VIEW refunds_auditline AS
SELECT sequence * 2 AS id, 'entries'::text AS chain, sequence, at, kind::text AS kind,
    actor_id, actor_name::text AS actor_name, account_id, about_type::text AS about_type,
    about_id::text AS about_id, about_name::text AS about_name, NULL::uuid AS refund_id,
    address, request_id::text AS request_id, ''::text AS from_status, ''::text AS to_status,
    data, previous_hash::text AS previous_hash, hash::text AS hash
  FROM audit_auditentry
UNION ALL
SELECT sequence * 2 + 1, 'refunds'::text, sequence, at, 'refunds.' || kind,
    actor_id, ''::text,
    (SELECT account_id FROM refunds_refund WHERE refunds_refund.id = refund_id),
    'refunds.refund'::text, refund_id::text, ''::text, refund_id,
    NULL::inet, ''::text, from_status::text, to_status::text,
    data, previous_hash::text, hash::text
  FROM refunds_refundevent;
"""

DROP_VIEW = "DROP VIEW refunds_auditline;"

KEPT = ("refundevent", "refund", "refundattempt", "approvalrule")
NEVER_TRUNCATED = "\n".join(
    f"CREATE TRIGGER never_truncated BEFORE TRUNCATE ON refunds_{table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();"
    for table in KEPT
)
MAY_BE_TRUNCATED = "\n".join(f"DROP TRIGGER never_truncated ON refunds_{table};" for table in KEPT)


class Migration(migrations.Migration):

    dependencies = [
        ("audit", "0001_initial"),
        ("refunds", "0018_erased_rulings"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditLine",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("chain", models.CharField(max_length=7)),
                ("sequence", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(max_length=60)),
                ("actor_name", models.CharField(max_length=200)),
                ("about_type", models.CharField(max_length=100)),
                ("about_id", models.CharField(max_length=100)),
                ("about_name", models.CharField(max_length=200)),
                ("refund_id", models.UUIDField(null=True)),
                ("address", models.GenericIPAddressField(null=True)),
                ("request_id", models.CharField(max_length=32)),
                ("from_status", models.CharField(max_length=20)),
                ("to_status", models.CharField(max_length=20)),
                ("data", models.JSONField()),
                ("previous_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64)),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit log",
                "db_table": "refunds_auditline",
                "managed": False,
                "default_permissions": (),
            },
        ),
        migrations.RunSQL(VIEW, DROP_VIEW),
        migrations.RunSQL(NEVER_TRUNCATED, MAY_BE_TRUNCATED),
    ]
