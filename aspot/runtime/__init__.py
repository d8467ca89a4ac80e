"""The runtime: carries a run out on whatever cloud it is given. Imports machine and ports, never an adapter."""
