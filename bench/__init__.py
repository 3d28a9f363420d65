"""Measurements: `make bench`. Each module measures one area and offers `rows()`.

What lives here: figures of quality, speed and memory, always against a reference in the same run where
there is one. What does not: tests; nothing here fails a build.
"""
