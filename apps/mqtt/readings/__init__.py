"""What payloads mean: readings, the schema they keep to, the rules and scores that watch them. Asks nobody."""
