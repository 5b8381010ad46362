"""What tests stand on: real PostgreSQL servers, a stage on one of them, and a running service."""
