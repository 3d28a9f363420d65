"""Finding a moment in what was said."""
