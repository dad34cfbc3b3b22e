"""One database for what outlives a request: history, jobs. SQLite in a file by default, PostgreSQL by a setting.

`SENTIMENT_DATABASE_URL` names it; unset, it is a file in `SENTIMENT_STATE_FOLDER`. Nothing is made on disk before
something is to be kept. Tables are declared where they are used, on `service.database.tables.Base`, and made by the
revisions in `service/database/migrations/versions`: one file each, each naming the one before it.
"""

from service.database.database import Database
from service.database.errors import DatabaseError, DatabaseGone, SchemaOutdated

__all__ = ["Database", "DatabaseError", "DatabaseGone", "SchemaOutdated"]
