//! The first program in every room: a shell that sets limits, says that the room stands, and becomes the command.

use crate::Settings;

/// What the shell prints when the room stands. Everything before it is the room's own trouble, everything after
/// it is the command's output.
pub(crate) const READY: &[u8] = b"\x01sandbox-ready\x01\n";

/// `ulimit` counts file sizes in these blocks in a POSIX shell.
const FILE_BLOCK_BYTES: u64 = 512;

/// Program and arguments that run `argv` under the limits of the settings, and of processes where nothing else limits
/// them.
pub(crate) fn launch(settings: &Settings, processes: Option<u64>, argv: &[String]) -> Vec<String> {
    let mut script = vec![
        "ulimit -c 0".to_owned(),
        format!("ulimit -f {}", settings.file_bytes.div_ceil(FILE_BLOCK_BYTES)),
    ];
    if let Some(count) = processes {
        // The option has another letter in dash.
        script.push(format!("ulimit -u {count} || ulimit -p {count}"));
    }
    if let Some(bytes) = settings.address_space_bytes {
        script.push(format!("ulimit -v {}", bytes / 1024));
    }
    // A limit can only fail to be set where a harder one is in force already.
    let script = script
        .into_iter()
        .map(|limit| format!("{{ {limit}; }} 2>/dev/null"))
        .collect::<Vec<_>>()
        .join("\n");
    let script = format!("{script}\nprintf '\\001sandbox-ready\\001\\n' || exit 125\nexec \"$@\"");
    ["/bin/sh", "-c", &script, "sh"]
        .into_iter()
        .map(str::to_owned)
        .chain(argv.iter().cloned())
        .collect()
}
