//! The table of pitfalls in [`crate`] names tests that exist.

use std::fs;
use std::path::Path;

use crate::Test;

const TABLE: &str = include_str!("main.rs");

/// The text of every Rust file below a folder.
fn text_below(folder: &Path, text: &mut String) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text_below(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[test]
fn every_pitfall_has_a_test_and_every_test_of_the_table_is_there() -> Test {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for folder in ["src", "tests", "media/src", "sbc-config"] {
        text_below(&root.join(folder), &mut text)?;
    }
    let rows: Vec<_> = TABLE.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1).collect();
    let numbers: Vec<u32> =
        rows.iter().filter_map(|row| row.split('|').next()?.trim().parse().ok()).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    for row in rows {
        // Name of the pitfall, then one cell for each kind of test;
        let named = row.split('|').skip(2).flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let mut tests = 0;
        for name in named {
            assert!(text.contains(&format!("fn {name}(")), "no test is called {name}");
            tests += 1;
        }
        assert!(tests > 0, "nothing holds {row}");
    }
    Ok(())
}
