"""What tests share beside the lab: waiting for conditions, invariants of a cluster, planted secrets."""
