"""Through the looking glass: how the environments differ from what they say they are, and from each other.

Pure. What was seen comes in as values and a Report goes out: ``finding.py`` has the words, each kind of drift has a
file, and ``explaining.py`` tells a difference that a reviewed setting makes from one that nobody explains. Looking is
the business of ``controller.observers``.
"""
