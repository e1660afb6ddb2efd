"""python -m mri_d3gm is the command mri-d3gm."""

from mri_d3gm.cli.main import main

main()
