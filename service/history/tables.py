"""The tables of history: what was stored, and who removed what.

Times are Unix milliseconds, so that they compare the same in every database.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.tables import Base


class HistoryRow(Base):
    """One analysis as it was answered, and what it can be found by. Media are never here."""

    __tablename__ = "history"
    __table_args__ = (
        Index("ix_history_owner_created_id", "owner", "created", "id"),
        Index("ix_history_created", "created"),
    )

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    created: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(16))
    label: Mapped[str | None] = mapped_column(String(16))
    """Null where the verdict was withheld."""
    has_text: Mapped[bool]
    has_speech: Mapped[bool]
    has_face: Mapped[bool]
    analysis: Mapped[str] = mapped_column(Text)
    """The JSON of the answer. Text, not the database's JSON: PostgreSQL's refuses a NUL inside a string."""


class AuditRow(Base):
    """One removal: who removed how many of what, and when. Never what was in them."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_at", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(Text)
    affected: Mapped[int]
