"""What nobody may build here, whatever a change of the program or of a setting says: see ``rules.py``."""
