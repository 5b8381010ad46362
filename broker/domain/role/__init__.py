"""What catalog roles may do, in plain words, and what an approver risks by giving one.

`facts` is what a look at a database finds; `holdings` is what one role has of it; `meaning` says
it, `comparison` finds smaller roles, and `risk` weighs it. `membership` is who is in what.
"""
