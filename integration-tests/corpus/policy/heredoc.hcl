path <<EOF
a
EOF
{ capabilities = ["read"] }
