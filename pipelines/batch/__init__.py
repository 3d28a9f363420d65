"""Batches: any recipe over many files, unattended, to be interrupted and run again at will.

What lives here: what a batch is, without Ray. `plan` says what there is to do, `sources` finds the files,
`file_work` does one of them, `stages` keeps what is half done, `record` what is done, `table` sums up. What
does not: running it on many workers (`deployments/batch.py`).

Two things make a batch safe to kill and to run again. A file is finished when its record is there, which is
written after its results and names what they were made of; and every stage on the way is kept in the file's
work folder, under a lock, so that none is done twice, not by a later run and not by two workers at once.
"""
