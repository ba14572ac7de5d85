#![no_main]

tidings_fuzz::fuzz!(crl);
