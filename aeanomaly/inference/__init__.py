"""Scoring images that are no part of an experiment, from a checkpoint alone."""
