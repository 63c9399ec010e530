"""What a checkout is built and started with: the pinned binaries, a go.mod per family, and `bootstrap`."""
