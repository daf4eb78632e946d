"""Detectors that others published, from files the user gives."""
