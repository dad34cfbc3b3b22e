"""Pre-processing that training and serving share."""
