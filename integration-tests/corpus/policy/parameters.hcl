# What a deployment may do.
path "database/creds/app" {
  capabilities = ["read"]
}

path "auth/token/create" {
  capabilities        = ["create", "update", "sudo"] // all of them
  required_parameters = ["policies"]
  allowed_parameters  = { "ttl" = ["5m", "1h"], "policies" = ["app", "app-*"], "*" = [] }
  denied_parameters   = { "id" = [], num = [1, 2.5, true, null] }
  min_wrapping_ttl    = "1s"
  max_wrapping_ttl    = 90
}

/* a
   block */
path "a/+/b/*" { policy = "write" }
path "a/b" { capabilities = ["deny"] }
