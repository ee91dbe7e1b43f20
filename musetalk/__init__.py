"""Lip-sync: MuseTalk itself, and what stands in for it without its files."""
