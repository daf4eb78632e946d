"""Figures 1 to 5, drawn from what the study's rows left on disk."""
