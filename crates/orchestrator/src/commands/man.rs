//! `orchestrator man`: manual pages, made from the same definition as `--help`.

use crate::{
    cli::{Cli, ManArguments},
    failure::{Exit, Failure},
    output,
};
use clap::CommandFactory;
use clap_mangen::Man;
use std::{io, path::Path};

/// Prints the page of the program, or writes the pages of all commands.
pub(crate) fn man(arguments: &ManArguments, json: bool) -> Result<Exit, Failure> {
    let Some(directory) = &arguments.directory else {
        let page = rendered(Cli::command());
        output::bytes(&page.map_err(|error| Failure::environment("the page can't be made").caused_by(error))?)?;
        return Ok(Exit::Complete);
    };
    let written = write_all(directory).map_err(|error| {
        Failure::environment("the pages can't be written")
            .with("directory", directory.display())
            .caused_by(error)
    })?;
    if json {
        output::document(&serde_json::json!({ "directory": directory, "written": written }))?;
    } else {
        output::line(&format!("{} pages in {}", written.len(), directory.display()))?;
    }
    Ok(Exit::Complete)
}

fn rendered(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

/// The names of the files.
fn write_all(directory: &Path) -> io::Result<Vec<String>> {
    std::fs::create_dir_all(directory)?;
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let mut written = Vec::new();
    let mut open = vec![cli];
    while let Some(command) = open.pop() {
        open.extend(command.get_subcommands().cloned());
        let page = Man::new(command);
        written.push(page.get_filename());
        page.generate_to(directory)?;
    }
    written.sort();
    Ok(written)
}
