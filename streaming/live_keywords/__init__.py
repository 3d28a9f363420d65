"""Keywords live: sound in as it is spoken, words that a model knows out.

What lives here: everything from a client's messages to its words, as a library. What does not: sockets, and
the engines (`clearcast/engines/classify`).
"""
