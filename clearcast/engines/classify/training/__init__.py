"""Training a keyword model: from a folder of recordings to a folder that the engine loads.

What lives here: reading the recordings, augmentation, the network, the training loop, and what is written
at the end. What does not: using a model (the engine). PyTorch and Matplotlib are imported by the modules
that need them, when training begins.
"""
