"""What is served, in words for machines: OpenAPI 3.1 and AsyncAPI 3.0 (operations.md, OP-19).

    Served (what of the faces is on)
      -> operations of each face, with the schemas they name -> `document`   OpenAPI
      -> channels, operations and messages                   -> `asyncapi`   AsyncAPI

A file per resource holds its schemas and operations, as data made with the words of `schema` and
`operation`; whatever the code has a name for (statuses, enumerations, limits) is taken from there.
Tests hold both documents against the routes, against what the daemon answers and against what its
parsers take.
"""
