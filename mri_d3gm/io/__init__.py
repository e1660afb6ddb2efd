"""One reader a format, one writer a product; numpy only."""
