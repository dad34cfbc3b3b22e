"""Alembic's folder: `versions` holds the revisions, `env.py` runs them on a connection that it is given."""
