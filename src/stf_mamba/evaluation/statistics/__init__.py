"""Tests, intervals, resampling and power, each checked against an independent implementation."""
