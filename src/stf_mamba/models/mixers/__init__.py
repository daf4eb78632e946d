"""Temporal mixers: what the frames of a clip tell each other."""
