"""Lip-sync without model files: a mouth warped to the audio."""
