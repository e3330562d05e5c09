//! Captures a command's output: its head and tail in memory, all of it in a file.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use telemetry::secrets::Masker;

use crate::SandboxError;
use crate::launch::READY;

/// How much output of the setup is kept.
const SETUP_BYTES: usize = 64 * 1024;

/// Collects all output of a sandbox.
pub(crate) struct Capture {
    /// Output before the ready mark; `None` after it.
    setup: Option<Vec<u8>>,
    output: Bounded,
    file: Option<OutputFile>,
}

impl Capture {
    pub(crate) async fn new(limit_bytes: usize, file: Option<(PathBuf, u64)>) -> Result<Self, SandboxError> {
        let file = match file {
            Some((path, limit_bytes)) => Some(OutputFile::create(path, limit_bytes).await?),
            None => None,
        };
        Ok(Self {
            setup: Some(Vec::new()),
            output: Bounded::new(limit_bytes),
            file,
        })
    }

    /// Whether the setup has finished and the command runs.
    pub(crate) fn ready(&self) -> bool {
        self.setup.is_none()
    }

    pub(crate) async fn push(&mut self, bytes: &[u8]) {
        let Some(setup) = &mut self.setup else {
            return self.keep(bytes).await;
        };
        setup.extend_from_slice(bytes);
        if let Some(at) = setup.windows(READY.len()).position(|window| window == READY) {
            let output = setup.split_off(at + READY.len());
            self.setup = None;
            self.keep(&output).await;
        } else if setup.len() > SETUP_BYTES {
            setup.drain(..SETUP_BYTES / 2);
        }
    }

    async fn keep(&mut self, bytes: &[u8]) {
        self.output.push(bytes);
        if let Some(file) = &mut self.file {
            file.write(bytes).await;
        }
    }

    /// What a failed setup printed.
    pub(crate) fn setup_text(&self) -> String {
        let text = String::from_utf8_lossy(self.setup.as_deref().unwrap_or_default());
        let text = text.trim();
        if text.is_empty() {
            "it ended without a message".to_owned()
        } else {
            text.to_owned()
        }
    }

    /// Flushes the file and returns the captured text.
    pub(crate) async fn finish(mut self) -> Captured {
        let whole = match &mut self.file {
            Some(file) => file.finish().await,
            None => "the full output was not kept".to_owned(),
        };
        Captured {
            text: self.output.text(&whole),
            bytes: self.output.total_bytes,
            cut: self.output.cut(),
        }
    }
}

/// The captured output.
pub(crate) struct Captured {
    pub(crate) text: String,
    pub(crate) bytes: u64,
    pub(crate) cut: bool,
}

/// The first and last bytes of a stream.
struct Bounded {
    half_bytes: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total_bytes: u64,
}

impl Bounded {
    fn new(limit_bytes: usize) -> Self {
        Self {
            half_bytes: limit_bytes.div_ceil(2),
            head: Vec::new(),
            tail: VecDeque::new(),
            total_bytes: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total_bytes += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.half_bytes - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.half_bytes)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.half_bytes);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    fn cut(&self) -> bool {
        self.total_bytes > (self.head.len() + self.tail.len()) as u64
    }

    /// The text; truncated output is cut at line ends where possible.
    fn text(&mut self, whole: &str) -> String {
        let cut = self.cut();
        let tail: &[u8] = self.tail.make_contiguous();
        if !cut {
            return printable(&[self.head.as_slice(), tail].concat());
        }
        let head_end = self
            .head
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(self.head.len(), |at| at + 1);
        let tail_start = tail[..tail.len().saturating_sub(1)]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let (head, tail) = (&self.head[..head_end], &tail[tail_start..]);
        let missing = self.total_bytes - (head.len() + tail.len()) as u64;
        let (head, tail) = (printable(head), printable(tail));
        let newline = if head.is_empty() || head.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!("{head}{newline}[… {missing} bytes of output cut out here; {whole} …]\n{tail}")
    }
}

/// Text that databases and terminals accept: valid UTF-8 without NUL.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

/// The file with all output. An error here loses the file, never the command.
///
/// Secrets are masked first: people, pages and models read the file, and it outlives the command.
struct OutputFile {
    path: PathBuf,
    file: File,
    masker: Masker,
    left_bytes: u64,
    full: bool,
    error: Option<io::Error>,
}

impl OutputFile {
    async fn create(path: PathBuf, limit_bytes: u64) -> Result<Self, SandboxError> {
        match File::create(&path).await {
            Ok(file) => Ok(Self {
                path,
                file,
                masker: Masker::default(),
                left_bytes: limit_bytes,
                full: false,
                error: None,
            }),
            Err(source) => Err(SandboxError::OutputFile { path, source }),
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        // Output beyond the limit is dropped, so it needs no masking.
        let fits = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(bytes.len());
        self.full |= fits < bytes.len();
        self.left_bytes -= fits as u64;
        let masked = self.masker.push(&bytes[..fits]);
        if !masked.is_empty() {
            self.error = self.file.write_all(&masked).await.err();
        }
    }

    /// Flushes the file and describes what it holds.
    async fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.masker).finish();
        if self.error.is_none() {
            self.error = self.file.write_all(&rest).await.err();
        }
        if self.error.is_none() {
            self.error = self.file.flush().await.err();
        }
        let path = self.path.display();
        match &self.error {
            Some(error) => format!("{path} does not hold all of it: {error}"),
            None if self.full => format!("{path} holds the beginning, up to its size limit"),
            None => format!("the whole output is in {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_output_is_kept_whole() {
        let mut bounded = Bounded::new(10);
        bounded.push(b"12345");
        bounded.push(b"67890");
        assert_eq!(bounded.text("x"), "1234567890");
    }

    #[test]
    fn long_output_keeps_whole_lines_of_both_ends() {
        let mut bounded = Bounded::new(20);
        for line in 100..200 {
            bounded.push(format!("{line}\n").as_bytes());
        }
        assert_eq!(
            bounded.text("see f"),
            "100\n101\n[… 384 bytes of output cut out here; see f …]\n198\n199\n"
        );
    }

    #[test]
    fn nul_bytes_and_broken_characters_are_replaced() {
        let mut bounded = Bounded::new(100);
        bounded.push(b"a\0b\xff");
        assert_eq!(bounded.text(""), "a\u{fffd}b\u{fffd}");
    }

    proptest! {
        #[test]
        fn memory_stays_within_the_limit(limit in 0usize..200, chunks in proptest::collection::vec(0usize..300, 0..20)) {
            let mut bounded = Bounded::new(limit);
            for chunk in &chunks {
                bounded.push(&vec![b'x'; *chunk]);
            }
            prop_assert!(bounded.head.len() + bounded.tail.len() <= limit + 1);
            prop_assert_eq!(bounded.total_bytes, chunks.iter().sum::<usize>() as u64);
        }
    }
}
