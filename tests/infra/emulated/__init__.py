"""A cloud that keeps what it is told: moto's AWS, taught what AWS documents about Wavelength zones and Run Command.

Each file patches one subject, while an ``EmulatedCloud`` is open. What it does not model is in ``docs/emulation.md``.
"""
