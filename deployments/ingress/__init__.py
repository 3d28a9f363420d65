"""The HTTP front door: FastAPI, one file per noun. It knows the services, not Ray.

What lives here: routes, uploads, admission, access, the problem documents, metrics. What does not: the
flows (`pipelines`), the models, and how this app is run (`deployments/front.py`).
"""
