"""Which payment a row stands for never changes: a refund of it would go back to another one."""

from django.db import migrations

GUARD = """
CREATE FUNCTION payment_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'transaction %: which payment it stands for never changes', OLD.id
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payment_identity';
END $$;
CREATE TRIGGER payment_identity
  BEFORE UPDATE OF account_id, processor, mode, external_id ON transactions_transaction
  FOR EACH ROW
  WHEN ((OLD.account_id, OLD.processor, OLD.mode, OLD.external_id)
        IS DISTINCT FROM (NEW.account_id, NEW.processor, NEW.mode, NEW.external_id))
  EXECUTE FUNCTION payment_identity();
"""

DROP_GUARD = """
DROP TRIGGER payment_identity ON transactions_transaction;
DROP FUNCTION payment_identity();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('transactions', '0010_customer_erased'),
    ]

    operations = [
        migrations.RunSQL(GUARD, DROP_GUARD),
    ]
