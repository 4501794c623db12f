"""``codec viewer``: a static page that shows .mcm files in a browser, and what writes it with its weights."""
