path "\u00e9\x41\n\"" { capabilities = [ "read" , ] }


# end