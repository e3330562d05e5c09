//! Who the server runs as: us, or, as PostgreSQL refuses to be root, an account of its own.

use super::error::EmbeddedError;
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

const DEFAULTS: [&str; 2] = ["postgres", "nobody"];

/// The account of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// We are an ordinary user, and so is the server.
    Ourselves,
    /// We are root, and the server is somebody else.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// The owner of an existing cluster, else the named account, else the first usual one that exists.
    pub(super) fn choose(named: Option<&str>, cluster: &Path) -> Result<Self, EmbeddedError> {
        let own_uid = rustix::process::geteuid();
        let owner = fs::metadata(cluster).ok().map(|found| (found.uid(), found.gid()));
        if !own_uid.is_root() {
            return match owner {
                Some((owner, _)) if owner != own_uid.as_raw() => Err(EmbeddedError::NotOurs {
                    path: cluster.to_owned(),
                    owner,
                }),
                Some(_) | None => Ok(Self::Ourselves),
            };
        }
        if let Some((uid, gid)) = owner
            && uid != 0
        {
            return Ok(Self::Other {
                name: format!("uid {uid}"),
                uid,
                gid,
            });
        }
        let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let wanted: Vec<&str> = match named {
            Some(name) => vec![name],
            None => DEFAULTS.to_vec(),
        };
        wanted
            .iter()
            .find_map(|name| look_up(&known, name))
            .ok_or_else(|| EmbeddedError::NoAccount {
                wanted: wanted.join(" or "),
            })
    }

    /// Makes sure the server can get to the data directory: the directory itself is ours to open, those above it
    /// are not.
    pub(super) fn let_in(&self, data_dir: &Path) -> Result<(), EmbeddedError> {
        let Self::Other { name, .. } = self else {
            return Ok(());
        };
        for directory in data_dir.ancestors() {
            let found =
                fs::metadata(directory).map_err(|source| EmbeddedError::directory("read", directory, source))?;
            if self.may_enter(&found) {
                continue;
            }
            if directory != data_dir {
                return Err(EmbeddedError::NotTraversable {
                    account: name.clone(),
                    blocked: directory.to_owned(),
                });
            }
            let opened = fs::Permissions::from_mode(found.mode() & 0o7777 | 0o001);
            fs::set_permissions(directory, opened)
                .map_err(|source| EmbeddedError::directory("change the mode of", directory, source))?;
        }
        Ok(())
    }

    fn may_enter(&self, directory: &fs::Metadata) -> bool {
        match self {
            Self::Ourselves => true,
            Self::Other { uid, gid, .. } => {
                let bit = if directory.uid() == *uid {
                    0o100
                } else if directory.gid() == *gid {
                    0o010
                } else {
                    0o001
                };
                directory.mode() & bit != 0
            }
        }
    }

    /// Gives a file or directory to the account.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Self::Other { uid, gid, .. } = self else {
            return Ok(());
        };
        chown(path, Some(*uid), Some(*gid))
            .map_err(|source| EmbeddedError::directory("change the owner of", path, source))
    }

    /// The numeric identity of the account.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Ourselves => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// Lets a program run as the account. (Dropping root drops its supplementary groups too.)
    pub(super) fn apply(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = self {
            command.gid(*gid).uid(*uid);
        }
    }
}

fn look_up(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account::Other {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_the_system_s_list() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104::/var/lib/postgresql:/bin/sh\n";
        assert_eq!(
            look_up(passwd, "postgres"),
            Some(Account::Other {
                name: "postgres".into(),
                uid: 101,
                gid: 104
            })
        );
        assert_eq!(look_up(passwd, "nobody"), None);
    }

    #[test]
    fn a_directory_that_shuts_the_account_out_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let data_dir = directory.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        let stranger = Account::Other {
            name: "stranger".into(),
            uid: 54_321,
            gid: 54_321,
        };
        let error = stranger.let_in(&data_dir).unwrap_err().to_string();
        assert!(error.contains("stranger"), "{error}");
        let blocked = format!("can't enter {}\n", directory.path().display());
        assert!(error.contains(&blocked), "{error}");
    }

    #[test]
    fn the_data_directory_itself_is_opened_for_the_account() {
        let directory = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let data_dir = directory.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account::Other {
            name: "stranger".into(),
            uid: 54_321,
            gid: 54_321,
        };
        stranger.let_in(&data_dir).unwrap();
        assert_eq!(fs::metadata(&data_dir).unwrap().mode() & 0o777, 0o701);
    }
}
