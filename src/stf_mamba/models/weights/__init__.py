"""Weights: where they come from, their key layouts, strict loading."""
