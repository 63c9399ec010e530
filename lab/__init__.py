"""Real components on loopback, for tests, bench and demo: a control plane, a Git server, our controllers.

The only place that knows ports. No controller imports it, and nothing here outlives its starter.
"""
