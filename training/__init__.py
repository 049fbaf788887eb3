"""From a clone: labelled data in, a model directory out. Never installed, never imported by the package."""
