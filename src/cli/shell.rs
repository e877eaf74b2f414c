//! The shell of `tokentrail query`: one question after the other, on a terminal.

mod stop;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::asking::{Desk, Values};
use super::query::print_to;
use super::standard::counted;
use super::{Global, Output};
use crate::query::hunts::Hunts;
use crate::query::{Answer, QueryError};
use stop::{Stop, Stoppable};

const HELP: &str = "\
A query ends with ; and may have many lines.
  \\d           the tables and views        \\d NAME   the columns of one
  \\hunts       saved questions             \\hunt NAME [name=value ...]
  \\o FORMAT    table, json, ndjson or csv  \\timing   how long queries take, on or off
  \\?           this help                   \\q        leave (so does Ctrl-D)
Tab completes, the arrows go through what was asked, Ctrl-C ends a query.
";

/// Words of SQL that Tab completes.
const KEYWORDS: &str = "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT WITH AS AND OR NOT IN IS NULL BETWEEN LIKE CASE WHEN \
    THEN ELSE END JOIN LEFT INNER CROSS ON UNION ALL DISTINCT COUNT SUM MIN MAX AVG INTERVAL DESC ASC EXPLAIN DESCRIBE FILTER OVER PARTITION";

/// What a line means.
enum Line<'l> {
    Nothing,
    Leave,
    Help,
    Tables,
    Columns(&'l str),
    Hunts,
    Hunt(&'l str),
    Format(&'l str),
    Timing,
    Unknown(&'l str),
    Query(&'l str),
}

impl<'l> Line<'l> {
    fn read(text: &'l str) -> Self {
        let text = text.trim();
        let Some(command) = text.strip_prefix('\\') else {
            let query = text.trim_end_matches(';').trim_end();
            return match query {
                "" => Self::Nothing,
                "exit" | "quit" => Self::Leave,
                _ => Self::Query(query),
            };
        };
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (word, rest.trim().trim_end_matches(';')) {
            ("q", _) => Self::Leave,
            ("?" | "h" | "help", _) => Self::Help,
            ("d", "") => Self::Tables,
            ("d", table) => Self::Columns(table),
            ("hunts", _) => Self::Hunts,
            ("hunt", rest) => Self::Hunt(rest),
            ("o", format) => Self::Format(format),
            ("timing", _) => Self::Timing,
            _ => Self::Unknown(word),
        }
    }
}

/// Reads lines and answers them until the user leaves.
pub async fn run(desk: Desk, hunts: Hunts, global: &Global) -> anyhow::Result<()> {
    let mut shell = Shell { desk, hunts, output: global.output, is_timed: true, stop: Stop::listen()? };
    let words = shell.words().await?;
    let mut editor = editor(words)?;
    let history = history();
    if let Some(path) = &history {
        let _ = editor.load_history(path); // there is none at first
    }
    eprintln!("tokentrail {}: {}. \\? helps.", env!("CARGO_PKG_VERSION"), global.lake);
    loop {
        // The editor waits for keys on a thread of its own, so that the lake's tasks go on.
        let (back, read) = tokio::task::spawn_blocking(move || {
            let read = editor.readline("tokentrail> ");
            (editor, read)
        })
        .await?;
        editor = back;
        match read {
            Ok(text) => {
                if !text.trim().is_empty() {
                    editor.add_history_entry(text.as_str())?;
                }
                if !shell.answer(&text).await {
                    break;
                }
            }
            // Of a line that is not finished.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        tracing::warn!(path = %path.display(), %error, "what was asked is not kept for the next time");
    }
    Ok(())
}

struct Shell {
    desk: Desk,
    hunts: Hunts,
    output: Output,
    is_timed: bool,
    stop: Stop,
}

impl Shell {
    /// Answers one line; whether to go on.
    async fn answer(&mut self, text: &str) -> bool {
        let given = |words: &str| -> BTreeMap<String, String> {
            let pairs = words.split_whitespace().filter_map(|word| word.trim_start_matches("-p").split_once('='));
            pairs.map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect()
        };
        match Line::read(text) {
            Line::Nothing => {}
            Line::Leave => return false,
            Line::Help => eprint!("{HELP}"),
            Line::Tables => {
                self.ask(
                    "SELECT table_name AS name, CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END AS kind \
                     FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name",
                    None,
                )
                .await;
            }
            Line::Columns(table) => self.ask(&format!("DESCRIBE \"{}\"", table.replace('"', "\"\"")), None).await,
            Line::Hunts => {
                for hunt in self.hunts.all() {
                    let names = hunt.params.iter().filter(|(_, param)| param.default.is_none());
                    let names = names.map(|(name, _)| format!(" {name}=...")).collect::<String>();
                    println!("{}{names}\n    {}", hunt.name, hunt.question);
                }
            }
            Line::Hunt(words) => {
                let (name, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
                let bound = self.hunts.find(name).map_err(|error| error.to_string()).and_then(|hunt| {
                    let mut values = self.desk.given();
                    values.retain(|name, _| hunt.params.contains_key(name));
                    values.extend(given(rest));
                    let values = hunt.bound(&values).map_err(|error| error.to_string())?;
                    Ok((hunt.sql.clone(), values))
                });
                match bound {
                    Ok((sql, values)) => self.ask(&sql, Some(Values::Bound(values))).await,
                    Err(error) => eprintln!("error: {error}"),
                }
            }
            Line::Format(word) => match Output::from_str(word, true) {
                Ok(output) => self.output = output,
                Err(_) if word.eq_ignore_ascii_case("parquet") => {
                    eprintln!(
                        "error: Parquet is nothing for a terminal: tokentrail query -o parquet \"SELECT ...\" > FILE"
                    );
                }
                Err(_) => eprintln!("error: \\o takes table, json, ndjson or csv"),
            },
            Line::Timing => {
                self.is_timed = !self.is_timed;
                eprintln!("Timing is {}.", if self.is_timed { "on" } else { "off" });
            }
            Line::Unknown(word) => eprintln!("error: there is no \\{word}; \\? lists what there is"),
            Line::Query(sql) => self.ask(sql, None).await,
        }
        true
    }

    async fn ask(&self, sql: &str, values: Option<Values>) {
        let started = Instant::now();
        let values = values.unwrap_or_else(|| Values::Offered(self.desk.given()));
        match self.desk.ask(sql, values, self.output).await {
            Ok(answer) => {
                if let Err(error) = self.show(&answer) {
                    match self.stop.was_pressed() {
                        true => eprintln!("\nCancelled."),
                        false => eprintln!("error: {error}"),
                    }
                    return;
                }
                self.desk.tell_cut(&answer);
                if self.is_timed {
                    let rows = counted(answer.rows.count(), "row");
                    eprintln!("{rows}, {:.3} s", started.elapsed().as_secs_f64());
                }
            }
            Err(QueryError::Cancelled) => eprintln!("\nCancelled."),
            Err(error) => eprintln!("error: {error}"),
        }
    }

    /// Prints an answer until its end, or Ctrl-C.
    fn show(&self, answer: &Answer) -> io::Result<()> {
        self.stop.forget();
        let out = Stoppable { out: io::stdout().lock(), stop: self.stop.clone() };
        let shown = print_to(&answer.rows, self.output, &mut io::BufWriter::new(out));
        // The last piece that was written may have ended within a line.
        io::stdout().flush().and(shown)
    }

    /// Everything that Tab completes: tables, columns, functions, keywords, commands, hunts.
    async fn words(&self) -> Result<Vec<String>, QueryError> {
        let context = self.desk.everything().await?;
        let mut words: Vec<String> = KEYWORDS.split_whitespace().map(str::to_owned).collect();
        words.extend(crate::query::names(&context).await?);
        words.extend(self.hunts.all().map(|hunt| hunt.name.clone()));
        words.extend(["\\d", "\\hunts", "\\hunt", "\\timing", "\\o", "\\q", "\\?"].map(str::to_owned));
        words.sort();
        words.dedup();
        Ok(words)
    }
}

fn editor(words: Vec<String>) -> rustyline::Result<Editor<Help, DefaultHistory>> {
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(10_000)?.build();
    let mut editor = Editor::with_config(config)?;
    let is_coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    editor.set_helper(Some(Help { words, is_coloured }));
    Ok(editor)
}

/// Where what was asked is kept: `tokentrail/history` in the folder of state (XDG Base Directory Specification), readable
/// for its owner alone.
fn history() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    let folder = state.join("tokentrail");
    std::fs::create_dir_all(&folder).ok()?;
    let path = folder.join("history");
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.append(true).create(true).open(&path).ok()?;
    Some(path)
}

struct Help {
    words: Vec<String>,
    is_coloured: bool,
}

impl Helper for Help {}

impl Hinter for Help {
    type Hint = String;
}

impl Highlighter for Help {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        if self.is_coloured { format!("\u{1b}[1;36m{prompt}\u{1b}[0m").into() } else { prompt.into() }
    }
}

impl Validator for Help {
    /// A query goes on until its semicolon.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input().trim();
        let is_whole =
            text.is_empty() || text.starts_with('\\') || text.ends_with(';') || matches!(text, "exit" | "quit");
        Ok(if is_whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Help {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..pos).unwrap_or_default();
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '\\')
            .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let typed = before.get(start..).unwrap_or_default();
        if typed.is_empty() {
            return Ok((start, Vec::new()));
        }
        let fits =
            |word: &&String| word.get(..typed.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(typed));
        Ok((start, self.words.iter().filter(fits).cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert!(matches!(Line::read("  "), Line::Nothing));
        assert!(matches!(Line::read(";"), Line::Nothing));
        assert!(matches!(Line::read("select 1 ; "), Line::Query("select 1")));
        assert!(matches!(Line::read("\\d grants;"), Line::Columns("grants")));
        assert!(matches!(Line::read("\\hunt blast_radius grant=g"), Line::Hunt("blast_radius grant=g")));
        assert!(matches!(Line::read("\\zz"), Line::Unknown("zz")));
        assert!(matches!(Line::read("exit"), Line::Leave));
    }
}
