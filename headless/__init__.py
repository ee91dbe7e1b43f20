"""A workflow without ComfyUI: read, checked and run here, or sent to ComfyUI servers."""
