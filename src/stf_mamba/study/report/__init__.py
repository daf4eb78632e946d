"""The study report: contents, and the forms it is written in."""
