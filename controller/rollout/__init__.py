"""What is done about what was seen: the 180 rule, its plan, and the ledger rows it leaves. Pure; asks nobody."""
