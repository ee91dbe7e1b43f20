"""Encoding and writing media files."""
