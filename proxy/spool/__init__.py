"""What sessions do, on this machine's disk before the target sees it, and from there to the ledger.

    records                              bytes ↔ records, pure
    writer                               a worker's segments: files that it has mapped
    reader                               those of all workers of this machine, living or dead
    shipping, shipper                    records → rows and blocks; a process of its own
    sink                                 the same rows to whoever else wants them, at least once

A worker writes by storing into memory that the kernel owns: no call, no wait, and nothing is lost
with the worker. Room is taken from the disk before it is needed, so that a full one is noticed
between two statements and not within one.
"""
