"""Raw data of scanners: readouts with their heads, sorted into a scan."""
