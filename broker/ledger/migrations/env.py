"""Alembic's entry point. `broker.ledger.migrate` hands over an open connection."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS curfew"))
context.configure(connection=connection, version_table_schema="curfew")
with context.begin_transaction():
    context.run_migrations()
