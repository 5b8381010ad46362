"""Pages for people's browsers: self-contained, nobody else's assets, everything escaped."""
