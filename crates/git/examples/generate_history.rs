//! Writes a repository with a made-up history of development, to try commands on:
//! `cargo run -p git --example generate_history -- DIRECTORY FILES MERGES [SEED]`.

#![expect(
    clippy::unwrap_used,
    reason = "the generator belongs to the tests, where it fails as they do"
)]

#[path = "../tests/generate/ordinary.rs"]
mod ordinary;
#[path = "../tests/generate/source.rs"]
mod source;

use git2::Repository;
use ordinary::Shape;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, files, merges, seed) = match &arguments[..] {
        [directory, files, merges] => (directory, files, merges, "1"),
        [directory, files, merges, seed] => (directory, files, merges, seed.as_str()),
        _ => {
            return Err("give a DIRECTORY, the number of FILES, of MERGES, and perhaps a SEED".into());
        }
    };
    let repository = Repository::init_bare(directory)?;
    let shape = Shape {
        files: files.parse()?,
        merges: merges.parse()?,
        seed: seed.parse()?,
    };
    let made = ordinary::generate(&repository, shape);
    println!("{} merges in {directory}", made.len());
    Ok(())
}
