"""The kustomize controller: Kustomizations in, objects in a cluster out.

It takes the artifact that a source published, builds it (`tools/engine`), applies what changed by
server-side apply under the field manager `kustomize-controller`, deletes what left the source, repairs what
somebody else changed, and says in the Kustomization's status what it did. It reconciles one kind:
Kustomization.
"""
