"""Engines: every model behind its service's contract, one file each.

`engines/<service>/contract.py` states what a service promises; every other file in that folder is one
engine, and the file's name is the engine's name. `load` finds an engine by that name: there is no
registry to edit. Heavy imports and weights happen in `Engine.load()` only.
"""
