"""What the package asks of its surroundings, and who answers: ComfyUI or a plain process."""
