"""The source controller: looks at where content lives and publishes each revision as an artifact.

In: objects of kind GitRepository (OCIRepository, HelmRepository, HelmChart and Bucket follow). Out:
archives below `--storage-path`, served over HTTP, and a status that names the newest one by URL, revision
and digest. What blocks or chews on bytes that a stranger chose runs in a child process (`worker.py`) that
can be killed.
"""
