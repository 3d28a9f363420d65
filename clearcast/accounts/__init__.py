"""Who may do what: people, passwords, tokens, keys, friends, limits, the audit log, and people's rights.

What lives here: rules and queries, without HTTP. What does not: how a credential travels in a request
(`deployments/ingress/access.py`) and the tables (`clearcast/storage/tables.py`). Everything blocks unless
it says otherwise.
"""
