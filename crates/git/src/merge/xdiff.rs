//! The line merge of C git itself, as libgit2 carries it: `xdl_merge`.
//!
//! git's ORT merges contents with this function, the histogram diff and the zealous level. libgit2 contains the same
//! source, but its own interface can't ask for the histogram diff; so the function is called directly. The library
//! is built from source and pinned to one version in the workspace's Cargo.toml, because the layout of its
//! parameters is declared here by hand.

#![expect(unsafe_code, reason = "calls a C function that git2 offers no way to call")]

use libgit2_sys::{git_buf, git_buf_dispose};
use std::{
    ffi::{c_char, c_int, c_long, c_ulong, c_void},
    ptr,
};

/// `XDF_HISTOGRAM_DIFF`
const HISTOGRAM_DIFF: c_ulong = 1 << 15;
/// `XDL_MERGE_ZEALOUS`
const ZEALOUS: c_int = 2;
/// `XDL_MERGE_FAVOR_UNION`
const UNION: c_int = 3;

/// `mmfile_t` and `mmbuffer_t`
#[repr(C)]
struct Buffer {
    bytes: *mut c_char,
    size: c_long,
}

/// `xpparam_t`
#[repr(C)]
struct DiffParameters {
    flags: c_ulong,
    ignore_regex: *mut *mut c_void,
    ignore_regex_count: usize,
    anchors: *mut *mut c_char,
    anchors_count: usize,
}

/// `xmparam_t`
#[repr(C)]
struct MergeParameters {
    diff: DiffParameters,
    marker_size: c_int,
    level: c_int,
    favor: c_int,
    style: c_int,
    ancestor_name: *const c_char,
    ours_name: *const c_char,
    theirs_name: *const c_char,
}

unsafe extern "C" {
    fn xdl_merge(
        base: *mut Buffer,
        ours: *mut Buffer,
        theirs: *mut Buffer,
        parameters: *const MergeParameters,
        result: *mut Buffer,
    ) -> c_int;
}

/// What both sides made of a text; `None` if they changed the same lines, or memory is short. The texts must be
/// smaller than 2 GiB together, which is the caller's limit to keep.
pub(crate) fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    merge_favouring(0, base, ours, theirs)
}

/// The same, with the lines of both sides, ours first, where both changed the same ones; `None` only if memory is
/// short.
pub(crate) fn union(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    merge_favouring(UNION, base, ours, theirs)
}

fn merge_favouring(favor: c_int, base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    // Sets up the allocator that the function uses.
    libgit2_sys::init();
    let parameters = MergeParameters {
        diff: DiffParameters {
            flags: HISTOGRAM_DIFF,
            ignore_regex: ptr::null_mut(),
            ignore_regex_count: 0,
            anchors: ptr::null_mut(),
            anchors_count: 0,
        },
        marker_size: 0,
        level: ZEALOUS,
        favor,
        style: 0,
        ancestor_name: ptr::null(),
        ours_name: ptr::null(),
        theirs_name: ptr::null(),
    };
    let (mut base, mut ours, mut theirs) = (buffer(base)?, buffer(ours)?, buffer(theirs)?);
    let mut merged = Buffer {
        bytes: ptr::null_mut(),
        size: 0,
    };
    // SAFETY: the layouts are those of the pinned library. The inputs outlive the call, which only reads them; the
    // result is written by it alone.
    let conflicts = unsafe { xdl_merge(&mut base, &mut ours, &mut theirs, &parameters, &mut merged) };
    let bytes = match usize::try_from(merged.size) {
        // SAFETY: the function has allocated and filled this many bytes.
        Ok(size) if size > 0 && !merged.bytes.is_null() => unsafe {
            std::slice::from_raw_parts(merged.bytes.cast::<u8>(), size).to_vec()
        },
        _ => Vec::new(),
    };
    if !merged.bytes.is_null() {
        let mut owned = git_buf {
            ptr: merged.bytes,
            reserved: 0,
            size: 0,
        };
        // SAFETY: the bytes come from libgit2's allocator, and nothing else holds them.
        unsafe { git_buf_dispose(&mut owned) };
    }
    (conflicts == 0).then_some(bytes)
}

fn buffer(content: &[u8]) -> Option<Buffer> {
    Some(Buffer {
        bytes: content.as_ptr().cast_mut().cast(),
        size: content.len().try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{merge, union};

    #[test]
    fn empty_texts_are_texts() {
        assert_eq!(merge(b"", b"", b""), Some(Vec::new()));
        assert_eq!(merge(b"a\n", b"", b"a\n"), Some(Vec::new()));
        assert_eq!(merge(b"a\n", b"", b"b\n"), None);
    }

    /// Myers matches other lines here than histogram does: seen when the flag is not heeded.
    #[test]
    fn lines_are_matched_as_the_histogram_diff_does() {
        let base = b"f() {\n}\n\ng() {\n  x\n}\n";
        let ours = b"f() {\n}\n\nnew() {\n}\n\ng() {\n  x\n}\n";
        let theirs = b"f() {\n}\n\ng() {\n  y\n}\n";
        assert_eq!(
            merge(base, ours, theirs),
            Some(b"f() {\n}\n\nnew() {\n}\n\ng() {\n  y\n}\n".to_vec())
        );
    }

    #[test]
    fn a_union_keeps_the_lines_of_both_sides_whole() {
        let ours = b"1\na\n".as_slice();
        assert_eq!(union(b"1\n", ours, b"1\nb\n"), Some(b"1\na\nb\n".to_vec()));
        assert_eq!(union(b"1\n", b"1\na", b"1\nb"), Some(b"1\na\nb".to_vec()));
        assert_eq!(union(b"", ours, ours), Some(ours.to_vec()));
    }
}
