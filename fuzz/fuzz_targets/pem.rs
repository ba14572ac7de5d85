#![no_main]

tidings_fuzz::fuzz!(pem);
