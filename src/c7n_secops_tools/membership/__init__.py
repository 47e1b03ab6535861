"""Who is watched over: account x region x status, from the output of the check policies."""
