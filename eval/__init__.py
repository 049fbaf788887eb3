"""Measures classifiers; it never trains what it measures. Run from a clone: `python -m eval.run DATA`."""
