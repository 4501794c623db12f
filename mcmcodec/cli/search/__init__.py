"""Search in archives of .mcm files by their captions, meaning or similarity; pictures are not decoded."""
