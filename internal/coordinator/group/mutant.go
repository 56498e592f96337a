package group

// mutant is a planted bug. The simulation must find each of them, or its checks are worth nothing.
type mutant uint8

const noMutant mutant = 0
