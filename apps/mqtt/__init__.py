"""The edge application: takes readings from devices by MQTT, keeps them durably, serves and forwards them."""
