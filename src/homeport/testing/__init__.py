"""What the tests of device code stand on: a server of their own, devices that belong to it, and pytest fixtures.

The fixtures are in `plugin`, which pytest finds by itself. Nothing is imported here: a run of pytest that uses no
fixture of Homeport's pays for none.
"""
