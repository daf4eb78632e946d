"""STF-Mamba: a deepfake video detector that shows its evidence."""

__version__ = "0.1.0"
