"""``c7n-secops coverage``: the controls of a benchmark, and the policies that check them."""
