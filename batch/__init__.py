"""Many jobs of one list: checked, shared out, and each finished once."""
