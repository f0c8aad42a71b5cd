"""Keep a store small and sound: status, pruning, compaction and verification."""
