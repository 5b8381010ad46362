"""Who may ask for what, who must agree, and for how long: policies, and what they decide. Pure:
policies and facts in, a decision with its reasons out.

    people, resources, hours, approval    what a policy is made of
    rule         one policy
    ask          what is asked for, and what is known when it is
    fit          one policy and one ask: why it does not fit
    book         all policies, compiled (coverage, terms): who and what, and everything else
    decision     the answer: given, to be agreed to, or denied, and why
    explanation  the same, and every policy that came close
    quorum       who may approve a request, and whether enough have
    access       all that one person may ask for
    summary      one policy in words, whoever asks

A policy that denies wins, wherever it stands. Of the others the first in file order that covers the
person and the resource, and that the rest of the ask fits, decides. A disabled policy is as good as
absent. `decide` goes through bitsets; that it says what a look at one policy after another would
say is tested.
"""
