"""Denoising: noise out, speech kept; whole files and live streams by the same code."""
