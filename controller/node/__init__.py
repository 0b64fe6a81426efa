"""The node program: it holds a release's promise on the node itself, so that a bad release ends without anybody's help.

Standard library only; ``pack`` makes one file of it, which is copied to every node and run as
``python -I -S node.pyz ROOT VERB ...``. The rules it keeps:

* The promise is on disk *before* the application is touched. What runs follows from the state, not the other way round.
* Whatever goes wrong (deadline, crash, restart, reboot, silence, a full disk) ends at last good, from local disk, with
  no network; only behind a one-way door (``on_deadline = freeze``) does it mean "stay".
* Going back never waits: it happens in memory even if the disk refuses the record, which is then written until it is.

What does not live here: any judgement whether a release is good (the controller's), and how bits reach the node.
"""
