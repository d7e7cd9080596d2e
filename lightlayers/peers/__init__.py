"""Published systems, one file each. `lightlayers.suite.registry` finds each file by itself."""
