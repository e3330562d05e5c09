use super::*;
use clap::CommandFactory;

#[test]
fn command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn global_flags_may_follow_the_command() {
    let cli = Cli::try_parse_from(["orchestrator", "show", "7f3a12bc", "--json", "--data-dir", "x"]).unwrap();
    assert!(cli.common.json);
}

/// Every page of the help, as a person reads it in a terminal of 100 columns.
#[test]
fn help_matches_snapshots() {
    let mut pages = Vec::new();
    let mut cli = Cli::command().term_width(100);
    cli.build();
    pages_of(cli, &mut Vec::new(), &mut pages);
    assert!(pages.len() > 20);
    for (name, page) in pages {
        insta::assert_snapshot!(name, page);
    }
}

fn pages_of(mut command: clap::Command, above: &mut Vec<String>, pages: &mut Vec<(String, String)>) {
    if command.get_name() == "help" {
        return;
    }
    above.push(command.get_name().to_owned());
    let name = above[1..].join("-");
    let name = if name.is_empty() {
        "orchestrator".to_owned()
    } else {
        name
    };
    pages.push((format!("help-{name}"), command.render_help().to_string()));
    let below: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    for command in below {
        pages_of(command, above, pages);
    }
    above.pop();
}
