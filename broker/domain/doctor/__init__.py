"""What `pgcurfew doctor` thinks of a managed server: facts in, findings with SQL out."""
