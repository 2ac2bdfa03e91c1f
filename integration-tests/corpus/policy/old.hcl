name = "ops"
path "sys/*" {
  policy = "sudo"
}
path "x*" { policy = "read" }
