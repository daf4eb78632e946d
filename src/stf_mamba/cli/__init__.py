"""The command line: verbs by subject, what they share, progress on stderr."""
