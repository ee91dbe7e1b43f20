"""From an avatar and speech to composed frames, stage by stage."""
