"""job destinations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("destination", sa.JSON(), nullable=True))

    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("options", sa.JSON(), server_default="{}", nullable=False))
        batch_op.add_column(sa.Column("output_name", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("outputs", sa.JSON(), server_default="[]", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_column("outputs")
        batch_op.drop_column("output_name")
        batch_op.drop_column("options")

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("destination")
