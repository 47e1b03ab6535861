"""A record in the forms that other tools read."""
