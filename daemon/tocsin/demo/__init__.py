"""`tocsin demo`: the main job, shown on a daemon of its own and accounted for by id (OP-2)."""
