#![no_main]

tidings_fuzz::fuzz!(server_lines);
