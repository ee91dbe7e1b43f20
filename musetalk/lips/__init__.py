"""Finding the lips without model files."""
