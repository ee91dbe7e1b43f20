"""A ComfyUI server as a client sees it: HTTP and WebSocket."""
