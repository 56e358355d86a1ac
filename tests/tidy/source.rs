//! Rust files as the rules see them: the code without its comments and texts, and which part of it is test code.

use std::fs;
use std::path::{Path, PathBuf};

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// From the root of the repository, with `/` between its parts.
    pub(crate) path: String,
    /// As it stands on disk.
    pub(crate) text: String,
    /// The same, line for line, with comments, texts and characters blanked out.
    pub(crate) code: String,
    /// `code` with everything below a `#[cfg(test)]` blanked out too.
    pub(crate) shipped: String,
}

impl Source {
    /// A file that says `text`.
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = blank_prose(text);
        let in_tests = path.split('/').any(|part| part == "tests" || part == "benches");
        let shipped = if in_tests { blank(&code, 0, code.len()) } else { blank_test_items(&code) };
        Source { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    /// The code that only tests run, line for line.
    pub(crate) fn tests(&self) -> String {
        self.code
            .chars()
            .zip(self.shipped.chars())
            .map(|(all, kept)| if all == kept { blank_char(all) } else { all })
            .collect()
    }

    /// Its lines, counted from one.
    pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
        text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The file below `src/`, split at `/`; none for a file elsewhere.
    pub(crate) fn below_src(&self) -> Option<Vec<&str>> {
        Some(self.path.strip_prefix("src/")?.split('/').collect())
    }
}

/// All Rust files of the workspace, and which of them are test modules as a whole.
pub(crate) fn workspace(root: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    for room in ["src", "tests", "benches", "media", "sbc-config"] {
        collect(&root.join(room), &mut paths);
    }
    paths.sort();
    let mut sources: Vec<Source> = paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let short = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            Source::new(&short, &text)
        })
        .collect();
    blank_test_modules(&mut sources);
    sources
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "target" {
                collect(&path, into);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// `#[cfg(test)] mod stories;` makes `stories.rs`, `stories/` and all below test code.
pub(crate) fn blank_test_modules(sources: &mut [Source]) {
    let mut test_dirs = Vec::new();
    for source in sources.iter() {
        let dir = module_dir(&source.path);
        let mut rest = source.code.as_str();
        while let Some(at) = rest.find("#[cfg(test)]") {
            rest = &rest[at + "#[cfg(test)]".len()..];
            let item = rest.trim_start();
            let item = item.strip_prefix("pub(crate)").unwrap_or(item).trim_start();
            if let Some(name) = item.strip_prefix("mod ").and_then(|named| named.split([';', '{']).next()) {
                test_dirs.push(format!("{dir}/{}", name.trim()));
            }
        }
    }
    for source in sources {
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if test_dirs.iter().any(|dir| module == dir || module.starts_with(&format!("{dir}/"))) {
            source.shipped = blank(&source.code, 0, source.code.len());
        }
    }
}

/// Where the children of the module in `path` lie.
fn module_dir(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((dir, "mod" | "lib" | "main")) => dir.to_owned(),
        _ => stem.to_owned(),
    }
}

/// Blanks comments, texts and characters; lengths and line ends stay.
fn blank_prose(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = prose_end(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().map(|&c| blank_char(c)));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// If a comment, a text or a character begins at `at`: where it ends. Otherwise `at`.
fn prose_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => find(chars, at, |c| c == '\n'),
        '/' if next(1) == '*' => block_comment_end(chars, at),
        '"' => text_end(chars, at + 1),
        'r' if !in_word => raw_text_end(chars, at + 1).unwrap_or(at),
        'b' if !in_word && next(1) == 'r' => raw_text_end(chars, at + 2).unwrap_or(at),
        // A character, not a lifetime: one sign or an escape, then the closing quote.
        '\'' if next(1) == '\\' => find(chars, at + 3, |c| c == '\'') + 1,
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&i| wanted(chars[i])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn text_end(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a raw text whose `#`s or quote begin at `at`.
fn raw_text_end(chars: &[char], at: usize) -> Option<usize> {
    let quote = find(chars, at, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let hashes = quote - at;
    let closes = |i: usize| {
        chars[i] == '"' && chars.len() > i + hashes && chars[i + 1..=i + hashes].iter().all(|&c| c == '#')
    };
    Some((quote + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes))
}

/// Blanks every item that stands below `#[cfg(test)]`: to the end of its block, or its semicolon.
fn blank_test_items(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(found) = out[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(&out, start + "#[cfg(test)]".len());
        out = blank(&out, start, end);
        from = end;
    }
    out
}

fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, c) in code[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return from + offset + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return from + offset + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(code: &str, start: usize, end: usize) -> String {
    let middle = code[start..end].chars().map(blank_char);
    code[..start].chars().chain(middle).chain(code[end..].chars()).collect()
}

fn blank_char(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}
