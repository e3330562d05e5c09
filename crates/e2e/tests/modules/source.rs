//! Reads module paths from the sources of a crate, without comments, strings and test code.

use crate::graph::Edges;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A source file and its module path.
struct SourceFile {
    name: String,
    module: Vec<String>,
    tokens: Vec<TokenTree>,
}

/// The paths found in a file.
#[derive(Default)]
struct Found {
    /// The module of each path, and the path from the crate's root.
    paths: Vec<(Vec<String>, Vec<String>)>,
    /// Modules that exist only in tests.
    test_modules: BTreeSet<Vec<String>>,
    /// Names that `use` imports into the root, with their paths.
    root_names: BTreeMap<String, Vec<String>>,
}

/// The edges between the top-level modules below a `src` directory. The root is a module named after its file.
pub(crate) fn edges(src: &Path) -> Edges {
    let mut paths = Vec::new();
    list(src, &mut paths);
    paths.sort();
    let files: Vec<SourceFile> = paths.iter().map(|path| read(src, path)).collect();
    let modules: BTreeSet<String> = files.iter().filter_map(|file| file.module.first().cloned()).collect();
    let root = match src.join("lib.rs").exists() {
        true => "lib.rs",
        false => "main.rs",
    };
    let found: Vec<Found> = files.iter().map(|file| scan(file, &modules)).collect();
    let test_modules: BTreeSet<&Vec<String>> = found.iter().flat_map(|found| &found.test_modules).collect();
    let root_names: BTreeMap<&String, &Vec<String>> = files
        .iter()
        .zip(&found)
        .filter(|(file, _)| file.name == root)
        .flat_map(|(_, found)| &found.root_names)
        .collect();

    let mut edges = Edges::default();
    for (file, found) in files.iter().zip(&found) {
        if (1..=file.module.len()).any(|depth| test_modules.contains(&file.module[..depth].to_vec())) {
            continue;
        }
        for (module, path) in &found.paths {
            let Some(first) = path.first() else { continue };
            let target = match root_names.get(first) {
                _ if modules.contains(first) => first,
                // An item of another crate.
                Some(path) if !modules.contains(&path[0]) => continue,
                Some(path) => &path[0],
                None => root,
            };
            edges.add(module.first().map_or(&file.name, |module| module), target, &file.name);
        }
    }
    edges
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources can be listed") {
        let path = entry.expect("a source can be looked at").path();
        if path.is_dir() {
            list(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn read(src: &Path, path: &Path) -> SourceFile {
    let relative = path.strip_prefix(src).expect("a file below src");
    let mut module: Vec<String> = relative
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let is_root = module.len() == 1 && matches!(module[0].as_str(), "lib" | "main");
    if is_root || module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    let text = fs::read_to_string(path).expect("a source is text");
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile {
        name: relative.to_string_lossy().into_owned(),
        module,
        tokens: tokens.into_iter().collect(),
    }
}

fn scan(file: &SourceFile, modules: &BTreeSet<String>) -> Found {
    let mut found = Found::default();
    scan_tokens(&file.tokens, &file.module, modules, &mut found);
    found
}

fn scan_tokens(tokens: &[TokenTree], module: &[String], modules: &BTreeSet<String>, found: &mut Found) {
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(&tokens[at..]) {
            at = skip_item(tokens, at, module, found);
            continue;
        }
        match (word(tokens, at).as_deref(), &tokens[at]) {
            (Some("mod"), _) if matches!(tokens.get(at + 2), Some(TokenTree::Group(_))) => {
                let mut inner = module.to_vec();
                inner.extend(word(tokens, at + 1));
                if let Some(TokenTree::Group(group)) = tokens.get(at + 2) {
                    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                    scan_tokens(&tokens, &inner, modules, found);
                }
                at += 3;
            }
            (Some("use"), _) if module.is_empty() => {
                let end = (at..tokens.len())
                    .find(|end| is_punct(tokens, *end, ';'))
                    .unwrap_or(tokens.len());
                let is_public =
                    at > 0 && (word(tokens, at - 1).as_deref() == Some("pub") || is_restriction(tokens, at));
                for (name, path) in imported(&tokens[at + 1..end]) {
                    if !is_public && path.first().is_some_and(|first| modules.contains(first)) {
                        found.paths.push((Vec::new(), path.clone()));
                    }
                    found.root_names.insert(name, path);
                }
                at = end;
            }
            (Some(first), _) if is_path_sign(tokens, at + 1) && !starts_inside_path(tokens, at) => {
                if let Some(base) = base(first, tokens, at, module, modules) {
                    let (base, after) = base;
                    tree(&tokens[after..], base, &mut |path, _| {
                        found.paths.push((module.to_vec(), path))
                    });
                }
                at += 1;
            }
            (_, TokenTree::Group(group)) => {
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                scan_tokens(&tokens, module, modules, found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// The base of a path from the crate's root, and the token after the `::`; `None` if it belongs to another crate or to the
/// same module.
fn base(
    first: &str,
    tokens: &[TokenTree],
    at: usize,
    module: &[String],
    modules: &BTreeSet<String>,
) -> Option<(Vec<String>, usize)> {
    match first {
        "crate" => Some((Vec::new(), at + 3)),
        "self" => Some((module.to_vec(), at + 3)),
        "super" => {
            let mut after = at;
            let mut base = module.to_vec();
            while word(tokens, after).as_deref() == Some("super") && is_path_sign(tokens, after + 1) {
                base.pop();
                after += 3;
            }
            Some((base, after))
        }
        // In the root, a path can start with a module's name.
        name if module.is_empty() && modules.contains(name) => Some((Vec::new(), at)),
        _ => None,
    }
}

/// Calls `each` with every path of a `use` tree and its name.
fn tree(tokens: &[TokenTree], base: Vec<String>, each: &mut dyn FnMut(Vec<String>, Option<String>)) {
    let mut path = base;
    let mut at = 0;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in tokens.split(|token| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',')) {
                    if !part.is_empty() {
                        tree(part, path.clone(), each);
                    }
                }
                return;
            }
            Some(TokenTree::Ident(name)) => {
                if name != "self" {
                    path.push(name.to_string());
                }
                at += 1;
            }
            _ => return each(path, None),
        }
        if !is_path_sign(tokens, at) {
            let alias = match word(tokens, at).as_deref() {
                Some("as") => word(tokens, at + 1),
                _ => path.last().cloned(),
            };
            return each(path, alias);
        }
        at += 2;
    }
}

/// The names that a `use` in the root imports.
fn imported(tokens: &[TokenTree]) -> Vec<(String, Vec<String>)> {
    let mut names = Vec::new();
    let start = match word(tokens, 0).as_deref() {
        Some("crate" | "self") if is_path_sign(tokens, 1) => 3,
        _ => 0,
    };
    tree(&tokens[start..], Vec::new(), &mut |path, name| {
        names.extend(name.map(|name| (name, path)));
    });
    names
}

/// The position after a test-only item: after its block or semicolon.
fn skip_item(tokens: &[TokenTree], start: usize, module: &[String], found: &mut Found) -> usize {
    let mut at = start;
    while at < tokens.len() {
        if word(tokens, at).as_deref() == Some("mod")
            && let Some(name) = word(tokens, at + 1)
        {
            let path = module.iter().cloned().chain([name]).collect();
            found.test_modules.insert(path);
        }
        let is_block = matches!(&tokens[at], TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        at += 1;
        if is_block || is_punct(tokens, at - 1, ';') {
            break;
        }
    }
    at
}

fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(sign), TokenTree::Group(group), ..] if sign.as_char() == '#' => {
            let text: String = group.stream().to_string().split_whitespace().collect();
            text == "cfg(test)"
        }
        _ => false,
    }
}

fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(name)) => Some(name.to_string()),
        _ => None,
    }
}

fn is_punct(tokens: &[TokenTree], at: usize, sign: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(found)) if found.as_char() == sign)
}

fn is_path_sign(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':')
}

fn starts_inside_path(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && is_path_sign(tokens, at - 2)
}

/// Whether `(crate)` or the like stands before.
fn is_restriction(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && matches!(tokens[at - 1], TokenTree::Group(_)) && word(tokens, at - 2).as_deref() == Some("pub")
}
