//! Where a value stands in a record: `user.email`, `targets[0].id`, `targets[type=User].id`, `"a.b".c`.

use super::super::json::{Json, is_value};

/// Most steps of a path: records nest no deeper.
const STEPS_MAX: usize = super::super::DEPTH_MAX;

/// What stands where nothing stands.
static NOTHING: Json<'static> = Json::Null;

/// A place in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// As it was written.
    pub text: String,
    /// The line of the mapping it stands on.
    pub line: usize,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The member of this name.
    Key(String),
    /// The item at this place of a list.
    Item(usize),
    /// The first item of a list whose member has this value.
    Where(String, String),
}

impl Path {
    /// A column of a table: a name, whatever it is made of.
    pub fn column(name: &str, line: usize) -> Self {
        Self { text: name.to_owned(), line, steps: vec![Step::Key(name.to_owned())] }
    }

    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, to end the sentence "it is no path: …".
    pub fn parse(text: &str, line: usize) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let name;
            (name, rest) = key(rest)?;
            steps.push(Step::Key(name));
            while let Some(behind) = rest.strip_prefix('[') {
                let step;
                (step, rest) = choice(behind)?;
                steps.push(step);
            }
            if steps.len() > STEPS_MAX {
                return Err(format!("more than {STEPS_MAX} steps"));
            }
            rest = match rest.strip_prefix('.') {
                Some(behind) => behind,
                None if rest.is_empty() => return Ok(Self { text: text.to_owned(), line, steps }),
                None => return Err(format!("a dot is missing before \"{}\"", shown(rest))),
            };
        }
    }

    /// What stands there in a record; null if nothing does.
    pub fn of<'a>(&self, record: &'a Json<'a>) -> &'a Json<'a> {
        self.steps.iter().fold(record, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Item(place) => value.items().get(*place).unwrap_or(&NOTHING),
            Step::Where(key, wanted) => value.item_where(key, wanted),
        })
    }
}

/// A key at the start of a text, in quotes or up to the next dot or bracket, and what follows it.
fn key(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (key, rest) = quoted.split_once('"').ok_or("a quote is not closed")?;
        return Ok((key.to_owned(), rest));
    }
    let (key, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
    if key.is_empty() {
        return Err("a key is missing; a key with dots or brackets is written in quotes, '\"a.b\"'".to_owned());
    }
    Ok((key.to_owned(), rest))
}

/// `0]` or `key=value]` at the start of a text, and what follows it.
fn choice(text: &str) -> Result<(Step, &str), String> {
    let open = || "a bracket is not closed".to_owned();
    let at = text.find(['=', ']']).ok_or_else(open)?;
    let (name, rest) = (text.get(..at).unwrap_or_default(), text.get(at..).unwrap_or_default());
    if let Some(rest) = rest.strip_prefix(']') {
        let wanted = || format!("\"[{}]\" is neither a number nor key=value", shown(name));
        return Ok((Step::Item(name.parse().map_err(|_| wanted())?), rest));
    }
    let value = rest.strip_prefix('=').unwrap_or_default();
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => {
            let (value, rest) = quoted.split_once('"').ok_or("a quote is not closed")?;
            (value, rest.strip_prefix(']').ok_or_else(open)?)
        }
        None => value.split_once(']').ok_or_else(open)?,
    };
    if name.is_empty() || value.is_empty() {
        return Err("in brackets, a key and a value stand around \"=\"".to_owned());
    }
    Ok((Step::Where(name.to_owned(), value.to_owned()), rest))
}

/// The start of a text, for messages.
pub fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The text of a single value, as a mapping compares and translates it.
pub fn word<'a>(value: &'a Json<'a>) -> Option<std::borrow::Cow<'a, str>> {
    match value {
        Json::Text(text) => Some(text.trim().into()),
        Json::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
        Json::Integer(number) => Some(number.to_string().into()),
        Json::Number(number) => Some(number.to_string().into()),
        Json::Null | Json::List(..) | Json::Object(..) => None,
    }
}

/// Whether something stands there that states a value.
pub fn is_stated(value: &Json<'_>) -> bool {
    match value {
        Json::Null => false,
        Json::Text(text) => is_value(text.trim()),
        Json::List(items, _) => !items.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let text = br#"{"user":{"email":"a"},"targets":[{"type":"App","id":1},{"type":"User","id":2,"x.y":[3,4]}],"one":{"id":5}}"#;
        let record = Json::parse(text).unwrap();
        for (path, expected) in [
            ("user.email", "a"),
            ("targets[0].id", "1"),
            ("targets[type=User].id", "2"),
            ("targets[type=\"user\"].\"x.y\"[1]", "4"),
            ("one[0].id", "5"),
            ("USER.Email", "a"),
        ] {
            assert_eq!(word(Path::parse(path, 1).unwrap().of(&record)).as_deref(), Some(expected), "{path}");
        }
        for path in ["user.name", "targets[7].id", "targets[type=Device].id", "user[0][0].x", "\"user.email\""] {
            assert!(Path::parse(path, 1).unwrap().of(&record).is_null(), "{path}");
        }
        let row = Json::parse(br#"{"E-mail (work).":"a"}"#).unwrap();
        assert_eq!(word(Path::column("E-Mail (work).", 1).of(&row)).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_no_path() {
        let key = "a key is missing; a key with dots or brackets is written in quotes, '\"a.b\"'";
        for (path, why) in [
            ("", key),
            ("a..b", key),
            ("a.", key),
            ("[0]", key),
            ("a[0", "a bracket is not closed"),
            ("a[", "a bracket is not closed"),
            ("a[x=", "a bracket is not closed"),
            ("a[x=y", "a bracket is not closed"),
            ("a[x=\"y\"", "a bracket is not closed"),
            ("a[x]", "\"[x]\" is neither a number nor key=value"),
            ("a[=y]", "in brackets, a key and a value stand around \"=\""),
            ("a[0]b", "a dot is missing before \"b\""),
            ("\"a", "a quote is not closed"),
            ("a[x=\"y]", "a quote is not closed"),
        ] {
            assert_eq!(Path::parse(path, 1).unwrap_err(), why, "{path}");
        }
        assert!(Path::parse(&"a.".repeat(500), 1).unwrap_err().starts_with("more than"));
    }
}
