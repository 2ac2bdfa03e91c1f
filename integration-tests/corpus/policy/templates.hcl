path "secret/{{identity.entity.name}}/*" { capabilities = ["read", "list"] }
path "t/{{ identity.entity.metadata.team }}" { capabilities = ["deny"] }
