"""Spotting keywords: which of the words that a model knows are spoken, and when."""
