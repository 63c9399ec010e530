"""Git as a source: which commit a reference names, and the objects of that commit.

`refs` and `semver` are pure: a listing and a wish in, a resolved reference out. `auth` turns a Secret's
data into credentials that never print themselves. `remote` is the only line to a Git server (HTTP and
HTTPS); `objects` is the local store of what was fetched; `tree` reads a commit's tree without ever checking
it out.
"""
