"""Prompts, the graphs to run: their parts, their rules, and how the editor lays them out."""
