"""The log of changes: numbered, stamped, chained and kept by the database, whoever writes.

One lock orders this chain and that of the refunds' events (refunds/migrations/0002_guards.py): two
of them could be taken in two orders. The digest is over an array as JSON, in which no text can
run into the next one.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

CHAIN = """
CREATE FUNCTION audit_digest(entry audit_auditentry) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT encode(sha256(convert_to(jsonb_build_array(
    entry.sequence, (extract(epoch FROM entry.at) * 1000000)::bigint,
    entry.kind, entry.actor_id, entry.actor_name, entry.account_id,
    entry.about_type, entry.about_id, entry.about_name,
    host(entry.address), entry.request_id, entry.data, entry.previous_hash)::text, 'UTF8')), 'hex')
$$;
CREATE FUNCTION chain_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  newest audit_auditentry;
BEGIN
  PERFORM pg_advisory_xact_lock(7266853);
  SELECT * INTO newest FROM audit_auditentry ORDER BY sequence DESC LIMIT 1;
  NEW.sequence := coalesce(newest.sequence, 0) + 1;
  NEW.previous_hash := coalesce(newest.hash, repeat('0', 64));
  NEW.at := clock_timestamp();
  NEW.hash := audit_digest(NEW);
  RETURN NEW;
END $$;
CREATE TRIGGER chain_audit_entry BEFORE INSERT ON audit_auditentry
  FOR EACH ROW EXECUTE FUNCTION chain_audit_entry();
CREATE FUNCTION keep_audit_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'append_only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_auditentry
  FOR EACH ROW EXECUTE FUNCTION keep_audit_entries();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON audit_auditentry
  FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entries();
"""

DROP_CHAIN = """
DROP TRIGGER never_truncated ON audit_auditentry;
DROP TRIGGER append_only ON audit_auditentry;
DROP FUNCTION keep_audit_entries();
DROP TRIGGER chain_audit_entry ON audit_auditentry;
DROP FUNCTION chain_audit_entry();
DROP FUNCTION audit_digest(audit_auditentry);
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("sequence", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(verbose_name="at")),
                ("kind", models.CharField(max_length=60, verbose_name="what")),
                ("actor_name", models.CharField(blank=True, max_length=200)),
                ("account_id", models.BigIntegerField(null=True)),
                ("about_type", models.CharField(blank=True, max_length=100)),
                ("about_id", models.CharField(blank=True, max_length=100)),
                ("about_name", models.CharField(blank=True, max_length=200)),
                ("address", models.GenericIPAddressField(null=True, verbose_name="address")),
                ("request_id", models.CharField(blank=True, max_length=32)),
                ("data", models.JSONField(default=dict)),
                ("previous_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64)),
                ("actor", models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="who")),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit log",
                "ordering": ["sequence"],
                "default_permissions": ("view", "export"),
                "indexes": [
                    models.Index(fields=["-at", "-sequence"], name="audit_newest"),
                    models.Index(fields=["kind", "-at"], name="audit_by_kind"),
                    models.Index(fields=["actor", "-at"], name="audit_by_actor"),
                    models.Index(fields=["account_id", "-at"], name="audit_by_account"),
                    models.Index(fields=["about_id", "-at"], name="audit_by_object"),
                ],
            },
        ),
        migrations.RunSQL(CHAIN, DROP_CHAIN),
    ]
