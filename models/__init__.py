"""Trained weights, their registry and cards, and the code that trained them."""
