"""Models on disk: what each engine needs, where it lies, how it gets there and whether it is whole.

What lives here: specifications, the local store, and the downloader behind `clearcast models pull`. What
does not: reading weights, which each engine does itself in `load()`. Nothing here runs while a request is
served: an engine that misses its files says so and never waits on a hub.
"""
