"""The ``avatar`` commands: each turns its arguments into one call below."""
