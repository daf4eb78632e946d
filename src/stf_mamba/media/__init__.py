"""Video files: what they are, their pictures in time, their colours; encoding and re-encoding."""
