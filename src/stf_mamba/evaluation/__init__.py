"""From a run and clips to predictions, figures with intervals, and calibrated probabilities."""
