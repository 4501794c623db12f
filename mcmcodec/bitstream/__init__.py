"""EXACT: the .mcm file as bytes, read with distrust. No torch."""
