"""What SQL says, by PostgreSQL's own grammar: secrets in it, and what kinds of statements it has.

The parser is libpg_query, PostgreSQL's own of version 18, through postgast (BSD). sqlglot and
sqlparse know dialects of their own, and what they read differently from the server would be a way
past a refusal; pglast binds the same library under the GPL.

    lexing                               where literals begin and end, also in what cannot be parsed
    masking, secret_words                secrets → asterisks
    parsing                              the parser, guarded against what would end the process
    kinds, statement_table               what a statement is, for policies that refuse some
    usage                                which privileges they use, for the privilege-fit report
"""
