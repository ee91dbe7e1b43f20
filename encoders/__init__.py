"""Reading, probing and writing media files."""
