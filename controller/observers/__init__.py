"""Looking at what is: what programs declare, what clouds say, what stores hold. Each asks within a time and a number.

Nothing here judges: what is seen goes as values to ``controller.drift``.
"""
