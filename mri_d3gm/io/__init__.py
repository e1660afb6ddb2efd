"""One reader a format, one writer a product; numpy only. All readers give a Scan or an Image."""
