"""ComfyUI-AvatarVideo: the host's door."""
