"""Local files: what is uploaded, and how what instances send is written down safely."""
