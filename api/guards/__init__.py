"""What stands before the routes, whoever calls and whatever for: one subject a file. Who somebody
is and what they may is not among it: api.callers.auth and api.access say that."""
