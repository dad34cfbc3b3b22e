"""What all tables are declared on."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""So that a later revision can name what an earlier one made, in either database."""


class Base(DeclarativeBase):
    """The tables of the service. `history` and `jobs` declare theirs; a test holds them to the migrations."""

    metadata = MetaData(naming_convention=NAMES)
