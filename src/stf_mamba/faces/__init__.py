"""Faces in a video: detection, tracks of one person each, still crops."""
