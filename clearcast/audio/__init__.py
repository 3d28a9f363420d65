"""Sound in and out: probe, decode, resample, encode, chunk and join.

What lives here: everything that touches media files. Foreign bytes are only ever decoded in a limited
child process (`sandbox`), once, into a working copy (`recording`) that every engine reads by windows.
What does not: models, and what is done to the sound.
"""
