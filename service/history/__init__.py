"""Analyses that their callers asked to be kept: stored, found, exported and removed again."""
