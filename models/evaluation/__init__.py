"""How right and how honest the shipped models are, measured through the pipelines that the service uses."""
