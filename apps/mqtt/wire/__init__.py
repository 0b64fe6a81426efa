"""MQTT as it stands on the wire: packets, properties, topics, messages. Opens no file and no connection."""
