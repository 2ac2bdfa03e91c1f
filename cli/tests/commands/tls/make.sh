#!/bin/sh
# Makes the certificates of tests/commands/tls.rs anew. The keys protect nothing.
set -eu
cd "$(dirname "$0")"
subject() { printf '/O=Leasehold tests/CN=%s' "$1"; }
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 \
        -subj "$(subject authority)" -keyout authority.key -out authority.pem \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}
leaf() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "$(subject "$1")" -keyout "$1.key" -out "$1.csr"
    printf '%s\n' "$2" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA authority.pem -CAkey authority.key -CAcreateserial \
        -days 36500 -extfile "$1.ext" -out "$1.pem"
}
alone() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 \
        -subj "$(subject "$1")" -keyout "$1.key" -out "$1.pem" \
        -addext subjectAltName=DNS:leasehold.test -addext "basicConstraints=critical,CA:$2"
}
alone alone FALSE
alone alone-authority TRUE
authority
leaf server 'subjectAltName=DNS:leasehold.test'
leaf client 'extendedKeyUsage=clientAuth'
rm -f ./*.csr ./*.ext ./*.srl authority.key
