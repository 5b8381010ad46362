"""All SQL on our own database, one module per table. Nothing here opens a transaction but
`connection.transaction`, and nothing here decides: rows in, domain objects out."""
