"""Behind `./run`: brings everything that a command needs, then becomes that command.

Only the standard library is used here, since nothing else is there yet. What is brought lives in one cache
folder (`cache.py`): a virtual environment from requirements.lock, and the binaries of `catalogue.py`,
compiled from pinned Go modules. A run **observes** what is there, **plans** the missing steps (`plan.py`,
pure), and **does** them in order. Each step makes its result under a temporary name and renames it into
place, so a run that was stopped at any point leaves whole results only, and the next one goes on from there.
"""
