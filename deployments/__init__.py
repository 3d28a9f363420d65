"""Ray Serve: one thin class per model, the HTTP ingress, and `app.py`, the sole wiring.

What does not live here: what the services do (`clearcast/engines`) and how they are combined
(`pipelines`).
"""
