"""History: what was stored, and who removed what.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of history."""
    op.create_table(
        "history",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("label", sa.String(16), nullable=True),
        sa.Column("has_text", sa.Boolean, nullable=False),
        sa.Column("has_speech", sa.Boolean, nullable=False),
        sa.Column("has_face", sa.Boolean, nullable=False),
        sa.Column("analysis", sa.Text, nullable=False),
    )
    op.create_index("ix_history_owner_created_id", "history", ["owner", "created", "id"])
    op.create_index("ix_history_created", "history", ["created"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("affected", sa.Integer, nullable=False),
    )
    op.create_index("ix_audit_at", "audit", ["at"])


def downgrade() -> None:
    """Remove them, and everything in them."""
    op.drop_table("audit")
    op.drop_table("history")
