"""Rollouts as people read them: values worked out once, behind every face. Pure; draws nothing."""
