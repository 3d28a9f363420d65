"""The live gateway: rooms over WebSocket, WHIP and WHEP, one process on every node, beside Serve.

What lives here: credentials, records and transports of live rooms. What does not: the rooms (`streaming`).
"""
