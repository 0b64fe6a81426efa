"""The product's figures, measured: ``python -m tests.bench [--only PART] [--runs N]``.

Each part measures one thing several times in one go and gives it beside a peer or a limit that was measured in the same
minutes, so that a noisy machine moves both. Nothing here is a test: a figure is judged by what was promised of it, and
the outcome is an exit code for the whole run.
"""
