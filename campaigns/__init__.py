"""Bulk refunds: a filtered set or a file, a dry run, and then one refund after the other."""
