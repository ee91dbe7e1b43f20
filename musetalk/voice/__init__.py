"""Where somebody speaks, and how far the mouth may move in every frame."""
