"""A miniature corpus, drawn by code: people, footage, swaps, encoded with real H.264."""
