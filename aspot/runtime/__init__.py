"""The runtime: carries a run out on whatever cloud it is given. Imports machine, ports and results, never an adapter."""
