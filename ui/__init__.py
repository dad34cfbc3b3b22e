"""The browser's face of the service, and the typed client that stands by itself. Nothing here imports the service."""
