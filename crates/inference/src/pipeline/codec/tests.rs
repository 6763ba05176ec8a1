//! Files written and read.
