"""Models of the user's that sharpen mouths: super-resolution and face restoring."""
