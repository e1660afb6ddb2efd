"""Rain and haze on photographs, and the dark channel prior against haze."""
