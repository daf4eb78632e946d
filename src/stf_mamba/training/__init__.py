"""From a recipe and clips to a run: loop, validation, folds, costs."""
