"""What strangers may do to us: servers that lie, values of every kind, signals, company."""
