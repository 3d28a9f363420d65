"""Live rooms: this package holds the media path, signalling and recording once they land.

What does not live here: the models, and anything that serves files. It may import `clearcast` only.
"""
