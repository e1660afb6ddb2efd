"""What a run leaves and finds: names of its files, what made them, and whether they are there already."""
