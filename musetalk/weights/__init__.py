"""Model files: what is published, where they lie, and loading them."""
