"""What was said, by whom, when: the data types and the files they are written to.

What lives here: frozen dataclasses (times in seconds from the start of the recording) and readers and
writers for JSON, TXT, SRT, VTT and RTTM. What does not: anything that listens to sound.
"""
