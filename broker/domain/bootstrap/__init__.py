"""The SQL that prepares a managed server: built from the settings, run by nobody here."""
