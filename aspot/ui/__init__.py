"""What people and programs see: pure rendering of runs, results and news. Never reads logs; owns no state of a run."""
