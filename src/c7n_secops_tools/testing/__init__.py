"""What the tests of policies and elements need, yours as well as ours. Never imported in Lambda.

``runs`` runs a policy in this process and reads what it wrote, ``observe`` says which element made
which AWS call, ``flights`` records and replays AWS's answers, and ``shapes`` checks recorded
answers against AWS's own service models.
"""
