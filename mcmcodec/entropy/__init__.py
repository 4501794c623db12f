"""EXACT: integer networks, frozen tables and the range coder, with numpy and constriction only.

Every machine computes the same integers here.
"""
