//! What may be asked: one statement, which reads.

use datafusion::execution::context::SQLOptions;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::QueryError;

/// What the planner refuses too, should a statement get past [`check`].
pub fn options() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// Most words and operators of a query; literals, commas and brackets do not count, so a list of names may be long. Each
/// of `1 + 1 + 1 ...` stands one level deeper in the plan, and a plan some ten thousand levels deep overflows the stack
/// of whoever walks it, which nothing can catch.
const WORDS_MAX: usize = 2_000;

/// Accepts exactly one statement that reads.
///
/// # Errors
/// [`QueryError::NotAQuery`] names what the statement begins with; text that is no SQL gives the parser's own words.
pub fn check(sql: &str) -> Result<(), QueryError> {
    if sql.len() > QUERY_BYTES_MAX {
        return Err(QueryError::TooLong { what: "bytes", found: sql.len(), limit: QUERY_BYTES_MAX });
    }
    let words = words(sql);
    if words > WORDS_MAX {
        return Err(QueryError::TooLong { what: "words and operators", found: words, limit: WORDS_MAX });
    }
    let statements = DFParser::parse_sql(sql)?;
    match statements.len() {
        0 => return Err(QueryError::NotAQuery("no statement".to_owned())),
        1 => {}
        several => return Err(QueryError::Several(several)),
    }
    if statements.iter().all(reads) { Ok(()) } else { Err(QueryError::NotAQuery(opening(sql))) }
}

fn words(sql: &str) -> usize {
    // What cannot be taken apart is refused by the parser, with its reason.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let is_plain = |token: &Token| {
        matches!(
            token,
            Token::Whitespace(_)
                | Token::Comma
                | Token::LParen
                | Token::RParen
                | Token::Number(..)
                | Token::SingleQuotedString(_)
        )
    };
    tokens.iter().filter(|token| !is_plain(token)).count()
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(inner) => matches!(
            **inner,
            ast::Statement::Query(_)
                | ast::Statement::Explain { .. }
                | ast::Statement::ExplainTable { .. }
                | ast::Statement::ShowTables { .. }
                | ast::Statement::ShowColumns { .. }
                | ast::Statement::ShowFunctions { .. }
                | ast::Statement::ShowVariable { .. }
        ),
        Statement::Explain(explain) => reads(&explain.statement),
        _ => false,
    }
}

/// The statement's first word, as users call it.
fn opening(sql: &str) -> String {
    let word: String = sql.trim_start().chars().take_while(|c| c.is_ascii_alphabetic()).take(30).collect();
    if word.is_empty() { "not a query".to_owned() } else { word.to_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_pass_and_all_else_is_named() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a;",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "SHOW TABLES",
            "DESCRIBE events",
            "VALUES (1)",
        ] {
            check(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        for (sql, word) in [
            ("COPY events TO '/tmp/x.csv'", "COPY"),
            ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE"),
            ("CREATE VIEW v AS SELECT 1", "CREATE"),
            ("INSERT INTO events VALUES (1)", "INSERT"),
            ("SET datafusion.execution.time_zone = 'x'", "SET"),
            ("EXPLAIN COPY events TO 'x.csv'", "EXPLAIN"),
            ("DROP TABLE events", "DROP"),
            ("DELETE FROM events", "DELETE"),
            ("PREPARE p AS SELECT 1", "PREPARE"),
        ] {
            let error = check(sql).unwrap_err().to_string();
            assert!(error.starts_with(word), "{sql}: {error}");
        }
        assert!(matches!(check("SELECT 1; SELECT 2"), Err(QueryError::Several(2))));
        assert!(matches!(check(" "), Err(QueryError::NotAQuery(_))));
    }

    #[test]
    fn depth_has_a_limit_and_lists_have_not() {
        let chain = |with: &str| format!("SELECT {}", vec!["1"; WORDS_MAX + 10].join(with));
        for sql in
            [chain(" + "), chain(" OR "), chain(" UNION ALL SELECT "), format!("SELECT 1{}", "::int".repeat(WORDS_MAX))]
        {
            assert!(matches!(check(&sql), Err(QueryError::TooLong { .. })), "{}", &sql[..40]);
        }
        check(&format!("SELECT 1 IN ({})", vec!["'name'"; 20_000].join(", "))).unwrap();
        assert!(matches!(check(&" ".repeat(QUERY_BYTES_MAX + 1)), Err(QueryError::TooLong { what: "bytes", .. })));
    }
}
