"""Live rooms: the media path from a broadcaster's packets to every listener's, mixing and recording.

What lives here: the path as a library, over peer connections that somebody else negotiated. What does not:
signalling, the models, and anything that serves files. It may import `clearcast` only.
"""
