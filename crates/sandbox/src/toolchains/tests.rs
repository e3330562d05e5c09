//! Which toolchains are granted.

use super::*;

fn settings(home: &Path, path: &str) -> Settings {
    let variables = [("PATH".to_owned(), path.to_owned())].into();
    let host = HostEnvironment {
        home: Some(home.to_owned()),
        variables,
    };
    Settings {
        host,
        ..Settings::default()
    }
}

fn grants(toolchains: &Toolchains) -> Vec<&Path> {
    toolchains
        .mounts
        .iter()
        .filter(|mount| matches!(mount, Mount::ReadOnly(_)))
        .map(Mount::path)
        .collect()
}

#[test]
fn cargo_credentials_are_never_granted() {
    let home = tempfile::tempdir().unwrap();
    let cargo = home.path().join(".cargo");
    fs::create_dir_all(cargo.join("bin")).unwrap();
    fs::write(cargo.join("credentials.toml"), "x").unwrap();
    fs::write(cargo.join("config.toml"), "[registries.x]\ntoken = \"t\"").unwrap();
    let toolchains = Toolchains::detect(&settings(home.path(), ""));
    assert_eq!(grants(&toolchains), [cargo.join("bin")]);
    assert!(
        toolchains.describe().contains("config.toml"),
        "{}",
        toolchains.describe()
    );
}

#[test]
fn cargo_config_without_secrets_is_granted() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join(".cargo/config.toml");
    fs::create_dir_all(home.path().join(".cargo")).unwrap();
    fs::write(&config, "[build]\njobs = 2").unwrap();
    assert_eq!(grants(&Toolchains::detect(&settings(home.path(), ""))), [config]);
}

#[test]
fn search_path_keeps_host_order_and_drops_invisible_entries() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".pyenv/shims")).unwrap();
    let shims = home.path().join(".pyenv/shims");
    let path = format!("/usr/games:{}:{}/bin:relative", shims.display(), home.path().display());
    let toolchains = Toolchains::detect(&settings(home.path(), &path));
    assert_eq!(toolchains.search_path[..2], [PathBuf::from("/usr/games"), shims]);
    assert!(!toolchains.search_path.contains(&home.path().join("bin")));
    assert!(toolchains.search_path.contains(&PathBuf::from("/usr/bin")));
}

#[test]
fn programs_on_host_path_are_granted_with_their_installation() {
    let other = tempfile::tempdir().unwrap();
    let (cargo, node) = (other.path().join("account/.cargo"), other.path().join("opt/node"));
    for directory in [
        cargo.join("bin"),
        node.join("bin"),
        node.join("lib/node_modules/npm/bin"),
    ] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(cargo.join("credentials.toml"), "x").unwrap();
    // A home whose cargo has no programs must not hide what PATH finds.
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".cargo/registry")).unwrap();
    let path = format!("{}:{}", cargo.join("bin").display(), node.join("bin").display());
    let toolchains = Toolchains::detect(&settings(home.path(), &path));
    assert_eq!(
        grants(&toolchains),
        [cargo.join("bin"), node.join("bin"), node.join("lib")]
    );
    assert_eq!(toolchains.search_path[..2], [cargo.join("bin"), node.join("bin")]);
}

#[test]
fn linked_program_grants_its_installation() {
    let elsewhere = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let programs = home.path().join(".local/bin");
    let installation = elsewhere.path().join("tool-1.2");
    for directory in [&programs, &installation.join("bin"), &installation.join("libexec")] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::create_dir_all(home.path().join(".local/share/keyrings")).unwrap();
    fs::write(installation.join("bin/tool"), "").unwrap();
    std::os::unix::fs::symlink(installation.join("bin/tool"), programs.join("tool")).unwrap();
    let toolchains = Toolchains::detect(&settings(home.path(), programs.to_str().unwrap()));
    assert_eq!(
        grants(&toolchains),
        [programs, installation.join("bin"), installation.join("libexec")]
    );
}

#[test]
fn home_and_world_writable_path_entries_are_not_granted() {
    let outer = tempfile::tempdir().unwrap();
    let home = outer.path().join("me");
    let open = outer.path().join("open");
    for directory in [&home, &open] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let path = format!("{}:{}:{}:/", home.display(), outer.path().display(), open.display());
    let toolchains = Toolchains::detect(&settings(&home, &path));
    assert_eq!(grants(&toolchains), Vec::<&Path>::new());
}

#[test]
fn newest_node_is_the_highest_version() {
    let nvm = tempfile::tempdir().unwrap();
    for version in ["v9.1.0", "v22.2.0", "v22.11.0"] {
        fs::create_dir_all(nvm.path().join("versions/node").join(version).join("bin")).unwrap();
    }
    assert_eq!(
        newest_node(nvm.path()),
        Some(nvm.path().join("versions/node/v22.11.0/bin"))
    );
}
