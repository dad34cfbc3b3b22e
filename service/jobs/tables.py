"""The tables of jobs: what is wanted and how far it is, what happened, and which workers live.

Times are Unix seconds, so that they compare the same in every database.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.database.tables import Base


class JobRow(Base):
    """One job. Content is never here: media, parts and result lie in the job's folder."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key", name="uq_jobs_owner_key"),
        Index("ix_jobs_owner_id", "owner", "id"),
        Index("ix_jobs_state_created", "state", "created"),
        Index("ix_jobs_expires", "expires"),
    )

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    created: Mapped[float] = mapped_column(Float(53))
    started: Mapped[float | None] = mapped_column(Float(53))
    ended: Mapped[float | None] = mapped_column(Float(53))
    expires: Mapped[float | None] = mapped_column(Float(53))
    queued: Mapped[float] = mapped_column(Float(53))
    """When it was last put into the queue."""
    unit: Mapped[str] = mapped_column(String(16))
    done: Mapped[float] = mapped_column(Float(53), default=0.0)
    total: Mapped[float | None] = mapped_column(Float(53))
    parts: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(Text)
    lease_until: Mapped[float] = mapped_column(Float(53), default=0.0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    """How often a worker has begun or resumed it since the last finished part."""
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class JobEventRow(Base):
    """One thing that happened to a job, for its event stream."""

    __tablename__ = "job_events"

    job: Mapped[str] = mapped_column(String(26), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class JobWorkerRow(Base):
    """A worker process and when it last said that it lives."""

    __tablename__ = "job_workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    seen: Mapped[float] = mapped_column(Float(53))
