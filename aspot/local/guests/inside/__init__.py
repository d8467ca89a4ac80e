"""What runs in the guests' own processes: the zygote that starts machines, and each machine's init.

These modules run in a bare interpreter (`python -I -S`), so they import the standard library and each other only.
"""
