"""Opening, decoding and probing media files."""
