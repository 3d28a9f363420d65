"""Telling other people's servers what happened: signed, and never into a private network."""
