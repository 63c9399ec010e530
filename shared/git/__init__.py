"""Git as a source: which commit a reference names, and the objects of that commit.

`refs` and `semver` are pure: a listing and a wish in, a resolved reference out. So are `auth`, which turns a
Secret's data into credentials that never print themselves, `proxy`, which does it for the way there, and
`known_hosts`. `remote` is the only line to a Git server, by `transport` (HTTP and HTTPS) or `ssh`; `pools`,
`dial` and `identity` are theirs. `objects` is the local store of what was fetched; `tree` reads a commit's
tree without ever checking it out, and `submodules`, pure, the addresses in a `.gitmodules`.
"""
