case "the application reads its role" {
  path = "database/creds/app"
  capability = "read"
  policies = ["app"]
  allowed = true
}
case "no other" {
  path = "database/creds/+"
  capability = "read"
  parameters = { ttl = "5m" }
  allowed = false
}
