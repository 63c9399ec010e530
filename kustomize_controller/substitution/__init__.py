"""The language of `spec.postBuild`: `${name}` and its operators, in a text. Pure.

`expand` is the grammar, `operators` is what stands behind the sign after a name, `glob` the patterns that two
of the operators take. Nobody here knows of Kubernetes, or of where a variable comes from.
"""
