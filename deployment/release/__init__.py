"""Puts a new version in the place of the old one, and the old one back where the new one does not hold."""
