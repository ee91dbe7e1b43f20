"""Faces: finding them, cutting them out, putting them back."""
