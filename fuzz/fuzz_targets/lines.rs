#![no_main]

tidings_fuzz::fuzz!(lines);
