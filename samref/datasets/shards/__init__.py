"""Data sets too large for one process, in shards that are refined on their own and put together again."""
