"""ClearCast, the library: sound in, meaning out.

What lives here: audio input and output, the speech data types and their files, the engines that wrap
each model, storage, settings, errors. What does not: Ray, FastAPI, and the flows that combine services
(see `pipelines`). Everything here can be imported and used alone.
"""

__version__ = "0.1.0"
