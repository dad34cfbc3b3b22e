"""Training, evaluation and export of the default models (extra `[train]`)."""
