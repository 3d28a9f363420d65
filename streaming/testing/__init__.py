"""Peers that speak and listen by machine, for tests and measurements of live rooms."""
