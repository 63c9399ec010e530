"""Whether what a Kustomization waits for is ready, found out without holding a worker.

In go objects to look at (`targets`) and what they say (`look`, by the rules of `kstatus` or by the user's own
expressions, `expressions`); out comes one conclusion (`conclude`). `wait` looks again when the watches say
that something changed, and wakes the Kustomization once there is news; `report` puts that into words.
"""
