//! Prints the reference page of the site file (`docs/reference/site.md`), or with `schema` its JSON Schema; with the
//! path of a site file, what is found in it and how long that took.

use std::path::Path;

use faros_common::{clock, site};

fn main() {
    match std::env::args().nth(1).as_deref() {
        None => print!("{}", site::reference()),
        Some("schema") => println!("{:#}", site::schema()),
        Some(path) => {
            let start = clock::now();
            let result = site::load(Path::new(path));
            let took = clock::now() - start;
            match result {
                Ok(loaded) => println!("{}", loaded.report),
                Err(report) => println!("{report}"),
            }
            eprintln!("{took:?}");
        }
    }
}
