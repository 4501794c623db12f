"""The measurements behind docs/results.md: ``python -m benchmarks all --data DIR`` makes every file in results/ anew.

A module answers one question; ``registry.py`` lists them with their settings. ``codec bench`` measures one's own
pictures.
"""
