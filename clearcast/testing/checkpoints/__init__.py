"""Format-true checkpoints: the files a published model consists of, with seeded random weights.

What lives here: recipes that write a model folder which the real loaders read, small enough to make in a
test. What does not: real weights, which are never committed, and the engines that read these folders. A
model made here says nothing sensible; it serves to compare an engine with the library it wraps.
"""
