"""The study's tables, computed from what its rows left on disk."""
