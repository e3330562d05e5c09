//! The version managers whose toolchains are granted.

/// A version manager whose whole directory is granted.
pub(super) struct Manager {
    pub(super) name: &'static str,
    /// The variable with its location, which is also set inside.
    pub(super) variable: &'static str,
    /// Its default location in the home directory.
    pub(super) default: &'static str,
    /// Its directories of programs.
    pub(super) programs: &'static [&'static str],
}

/// The known version managers.
pub(super) const MANAGERS: [Manager; 6] = [
    Manager {
        name: "rustup",
        variable: "RUSTUP_HOME",
        default: ".rustup",
        programs: &[],
    },
    Manager {
        name: "pyenv",
        variable: "PYENV_ROOT",
        default: ".pyenv",
        programs: &["shims", "bin"],
    },
    Manager {
        name: "nvm",
        variable: "NVM_DIR",
        default: ".nvm",
        programs: &[],
    },
    Manager {
        name: "volta",
        variable: "VOLTA_HOME",
        default: ".volta",
        programs: &["bin"],
    },
    Manager {
        name: "asdf",
        variable: "ASDF_DATA_DIR",
        default: ".asdf",
        programs: &["shims", "bin"],
    },
    Manager {
        name: "mise",
        variable: "MISE_DATA_DIR",
        default: ".local/share/mise",
        programs: &["shims"],
    },
];
