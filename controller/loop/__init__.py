"""One environment led: gather, decide, record, act. What is known of a rollout under way is held here alone."""
