"""Flows that compose services: they receive the services as arguments and know neither Ray nor HTTP.

What lives here: one file per flow. What does not: the models and the wiring.
"""
