"""Tests of Customer 360: shapes and pages alone, the rest against a real mongod and the real process."""
