//! What the demo shows: colours and highlights on a terminal, the same words anywhere else.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use super::{DemoReport, Row, Step};
use crate::sim::stage::Person;
use crate::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use crate::sim::tenant::EXPERT_HZ;

/// Who has a column, and what they are.
const PARTY: [(&str, &str); 4] = [
    ("customer", "customer"),
    ("alice", "Alice, agent"),
    ("sam", "Sam, supervisor"),
    (EXPERT, "Erin, expert"),
];
/// The expert, who is at Teams.
const EXPERT: &str = "expert";
/// Width of a column.
const WIDTH: usize = 17;

/// Where the demo is shown.
pub(super) struct Screen {
    style: Style,
}

#[derive(Clone, Copy)]
struct Style {
    coloured: bool,
}

#[derive(Clone, Copy)]
enum Ink {
    Strong,
    Faint,
    Good,
    Bad,
}

impl Screen {
    pub(super) fn open() -> Self {
        let coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { style: Style { coloured } }
    }

    pub(super) fn opening(&self, people: &[&Person; 3]) {
        let mut text = String::new();
        let _ = writeln!(text, "{}\n", self.style.ink(Ink::Strong, "Sidetone: one call, and who hears whom"));
        text += "A gateway runs on loopback. Each party is a SIP telephone that hums a tone of its own:\n";
        for (person, (_, title)) in people.iter().zip(PARTY) {
            let _ = writeln!(text, "  {title:<WIDTH$} {:>7.1} Hz", person.hz);
        }
        if let Some((_, title)) = PARTY.iter().find(|(name, _)| *name == EXPERT) {
            let _ = writeln!(text, "  {title:<WIDTH$} {EXPERT_HZ:>7.1} Hz, at a simulated Teams");
        }
        let _ = writeln!(
            text,
            "After each step every ear is searched for every tone. Heard is {HEARD_DBFS:.0} dBFS or more, not heard \
             {UNHEARD_DBFS:.0} or less."
        );
        show(&text);
    }

    /// Where the console is, and a link for each who can sign in.
    pub(super) fn console(&self, address: &str, links: &[(String, &str)]) {
        let mut text =
            format!("\nThe console is at {}. A link signs in once:\n", self.style.ink(Ink::Strong, address));
        for (link, meaning) in links {
            let _ = writeln!(text, "  {meaning}\n    {link}");
        }
        show(&text);
    }

    pub(super) fn staying(&self) {
        let stays = self.style.ink(Ink::Strong, "The house stays open, and calls go on.");
        show(&format!("\n{stays} Open links in a browser, each in a tab of its own. Ctrl-C ends it.\n"));
    }

    pub(super) fn announce(&self, number: usize, of: usize, title: &str, meaning: &str, request: &str) {
        let title = self.style.ink(Ink::Strong, &format!("[{number}/{of}] {title}"));
        let request = self.style.ink(Ink::Faint, request);
        show(&format!("\n{title}\n  {meaning}\n  {request}\n"));
    }

    pub(super) fn table(&self, step: &Step) {
        show(&table(self.style, step));
    }

    pub(super) fn closing(&self, report: &DemoReport, right: bool) {
        let verdict = match right {
            true => self.style.ink(Ink::Good, "Every level is as it should be."),
            false => self.style.ink(Ink::Bad, "Some levels are wrong."),
        };
        let mut text = format!("\n{verdict}\n");
        let out = report.out.display();
        for (name, title) in PARTY {
            let _ = writeln!(text, "  {out}/{name}.wav   what the {title} heard", title = role(title));
        }
        let _ = writeln!(text, "  {out}/table.txt   the levels above");
        let _ = writeln!(
            text,
            "With --keep (make console) the house stays open afterwards, to be looked at in a browser."
        );
        show(&text);
    }
}

/// All steps without colour.
pub(super) fn plain(steps: &[Step]) -> String {
    let mut text = String::new();
    for (number, step) in steps.iter().enumerate() {
        let _ = writeln!(text, "{}. {}: {}\n   {}", number + 1, step.title, step.meaning, step.request);
        text += &table(Style { coloured: false }, step);
        text.push('\n');
    }
    text
}

/// What was answered, and one row for each ear, one column for each mouth that was looked for.
fn table(style: Style, step: &Step) -> String {
    let mut text = String::new();
    for line in &step.said {
        let _ = writeln!(text, "    {line}");
    }
    if step.rows.is_empty() {
        return text;
    }
    let measured = |name: &str| step.rows.iter().any(|row| row.heard.level_of(name).is_some());
    let columns = || PARTY.into_iter().filter(|(name, _)| measured(name));
    let _ = write!(text, "    {:<WIDTH$}", "in the ear of");
    for (_, title) in columns() {
        let _ = write!(text, "{title:>WIDTH$}");
    }
    text += "   (tone in dBFS)\n";
    for row in &step.rows {
        let title = PARTY.iter().find(|(name, _)| *name == row.heard.ear).map_or("", |(_, title)| title);
        let _ = write!(text, "    {title:<WIDTH$}");
        for (name, _) in columns() {
            text += &cell(style, row, name);
        }
        if row.music {
            let ink = if row.wrong.iter().any(|wrong| wrong.mouth == "music") { Ink::Bad } else { Ink::Good };
            text += &style.ink(ink, &format!("   music {:.1}", row.heard.total));
        }
        text.push('\n');
    }
    for wrong in step.rows.iter().flat_map(|row| &row.wrong) {
        let _ = writeln!(text, "    {}", style.ink(Ink::Bad, &format!("WRONG: {wrong}")));
    }
    text
}

fn cell(style: Style, row: &Row, mouth: &str) -> String {
    let wrong = row.wrong.iter().any(|wrong| wrong.mouth == mouth);
    if row.heard.ear == mouth && !wrong {
        return style.ink(Ink::Faint, &format!("{:>WIDTH$}", "."));
    }
    let level = row.heard.level_of(mouth).unwrap_or(f64::NEG_INFINITY);
    let heard = row.mouths.iter().any(|name| name == mouth);
    let (ink, word) = match (wrong, heard) {
        (true, _) => (Ink::Bad, "WRONG"),
        (false, true) => (Ink::Good, "hears"),
        (false, false) => (Ink::Faint, "-"),
    };
    style.ink(ink, &format!("{:>WIDTH$}", format!("{word} {level:>6.1}")))
}

fn role(title: &str) -> &str {
    title.split(", ").last().unwrap_or(title)
}

/// Nobody to show it to is no reason to stop.
fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

impl Style {
    fn ink(self, ink: Ink, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::stage::levels::{Heard, Limit, WrongLevel};

    fn step(wrong: Vec<WrongLevel>) -> Step {
        let levels = [("customer", -99.0), ("alice", -20.04), ("sam", -97.5)];
        let heard = Heard {
            ear: "customer".into(),
            levels: levels.map(|(name, level)| (name.to_owned(), level)).to_vec(),
            total: -20.0,
            packets: 75,
        };
        let row = Row { heard, mouths: vec!["alice".into()], music: false, wrong };
        Step {
            title: "Whisper",
            meaning: "Sam speaks to Alice alone.",
            request: "PATCH".into(),
            said: vec!["409 not_cleared".into()],
            rows: vec![row],
        }
    }

    #[test]
    fn a_table_shows_who_hears_whom_and_how_loud() {
        let text = table(Style { coloured: false }, &step(Vec::new()));
        assert!(text.starts_with("    409 not_cleared\n"), "{text}");
        assert!(!text.contains("Erin"), "who was not looked for has no column");
        let row = text.lines().nth(2).unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["customer", ".", "hears", "-20.0", "-", "-97.5"]
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_wrong_level_cannot_be_overlooked() {
        let wrong = WrongLevel {
            ear: "customer".into(),
            mouth: "sam".into(),
            measured: -41.0,
            limit: Limit::AtMost(UNHEARD_DBFS),
        };
        let text = plain(&[step(vec![wrong])]);
        assert!(
            text.contains("WRONG: customer should not hear sam: -41.0 dBFS measured, at most -60 expected")
        );
    }

    #[test]
    fn colours_are_for_terminals() {
        let coloured = table(Style { coloured: true }, &step(Vec::new()));
        assert!(coloured.contains("\x1b[32m"));
    }
}
