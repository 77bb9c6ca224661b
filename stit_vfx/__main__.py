"""`python -m stit_vfx` is `stit`, for hosts that know an interpreter and not its scripts."""

from stit_vfx.cli import main

main()
