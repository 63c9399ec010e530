"""`./run bench` puts a load on a local control plane and measures what it costs: see README.md here."""
