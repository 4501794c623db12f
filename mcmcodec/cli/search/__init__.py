"""Search in archives of .mcm files: an index of headers and captions, which never decodes a picture."""
