"""Networks trained on masks: what refined masks are good for (Tables 3 and 4, val columns)."""
