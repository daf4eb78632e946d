"""The frozen blocks' output, computed once and kept on disk."""
