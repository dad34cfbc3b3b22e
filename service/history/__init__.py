"""Analyses that somebody asked to keep."""
