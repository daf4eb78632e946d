"""Face clips: planned, cut and kept on disk."""
