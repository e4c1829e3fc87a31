"""The page of `samref app`: masks are drawn on a photo or taken from a folder, refined, compared, chosen and saved."""
