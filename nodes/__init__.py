"""The five nodes. Each is an adapter: convert in, one call, convert out."""
