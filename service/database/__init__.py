"""The one database that history and jobs share."""
