"""`python -m stit_vfx.training`."""

from stit_vfx.training import main

main()
