"""Who calls: by a bearer token, or by what a browser keeps for us."""
