"""What everything else speaks: errors, records, recipes, files, seeds, processes."""
