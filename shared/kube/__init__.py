"""Talking to an API server: connection, raw requests, discovery, server-side apply, watches, ownership.

Knows `shared.api` and nothing else of the project.
"""
