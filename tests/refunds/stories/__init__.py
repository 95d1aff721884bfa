"""What people and processors tell about one refund over hours and days, played from end to end."""
