"""Live transcription: sound in as it is spoken, lines by name out.

What lives here: everything from incoming samples to lines, as a library. What does not: sockets, the
recognisers themselves (`clearcast/engines/transcribe`), rooms.
"""
