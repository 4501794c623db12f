"""``codec viewer``: the static page that shows .mcm files in a browser, and what writes it with the weights it needs."""
