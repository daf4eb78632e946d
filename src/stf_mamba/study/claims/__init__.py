"""What may be concluded: comparisons of rows, rules, judged claims."""
