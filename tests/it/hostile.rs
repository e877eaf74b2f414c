//! A thousand statements that want more than to read: none gets through, and the lake stays as it was.

use tokentrail::query::{self, QueryError};

use crate::harness::tokentrail;
use crate::hunts::DEMO;

const TABLES: &[&str] =
    &["events", "findings", "\"events\"", "public.events", "datafusion.public.events", "grants", "query_log"];

/// What would change a table, `{t}`.
const PER_TABLE: &[&str] = &[
    "INSERT INTO {t} VALUES (1)",
    "INSERT INTO {t} SELECT * FROM events",
    "INSERT OVERWRITE {t} SELECT 1",
    "UPDATE {t} SET action = 'use'",
    "DELETE FROM {t}",
    "DELETE FROM {t} WHERE 1 = 1",
    "TRUNCATE TABLE {t}",
    "DROP TABLE {t}",
    "DROP TABLE IF EXISTS {t}",
    "DROP VIEW {t}",
    "ALTER TABLE {t} RENAME TO gone",
    "ALTER TABLE {t} ADD COLUMN x INT",
    "CREATE TABLE {t} (x INT)",
    "CREATE OR REPLACE TABLE {t} AS SELECT 1",
    "CREATE OR REPLACE VIEW {t} AS SELECT 1",
    "CREATE INDEX i ON {t} (action)",
    "COPY {t} TO '/tmp/stolen.csv'",
    "COPY (SELECT * FROM {t}) TO '/tmp/stolen.parquet'",
    "SELECT * INTO copied FROM {t}",
    "MERGE INTO {t} USING events e ON true WHEN MATCHED THEN DELETE",
    "GRANT ALL ON {t} TO PUBLIC",
    "ANALYZE TABLE {t}",
    "VACUUM {t}",
    "LOCK TABLE {t}",
];

/// Files, settings, the catalogue.
const ALONE: &[&str] = &[
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM \"/etc/passwd\"",
    "SELECT * FROM 'file:///etc/passwd'",
    "SELECT * FROM \"file:///etc/passwd\"",
    "SELECT * FROM 'sample-data/quickstart.ndjson'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('x.parquet')",
    "SELECT * FROM parquet_metadata('x.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM csv_scan('/etc/passwd')",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE EXTERNAL TABLE t (x INT) STORED AS PARQUET LOCATION 's3://b/p'",
    "LOAD DATA INPATH '/etc/passwd' INTO TABLE events",
    "ATTACH 'x.db'",
    "ATTACH DATABASE 'x' AS y",
    "DETACH x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET datafusion.execution.batch_size = 1",
    "SET datafusion.catalog.location = '/'",
    "SET datafusion.runtime.memory_limit = '900G'",
    "RESET datafusion.execution.batch_size",
    "SET TIME ZONE 'UTC'",
    "SET ROLE admin",
    "USE other",
    "PRAGMA database_list",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "DECLARE c CURSOR FOR SELECT 1",
    "FETCH c",
    "CLOSE c",
    "CALL p()",
    "DO $$ x $$",
    "KILL 1",
    "DISCARD ALL",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "DROP SCHEMA public CASCADE",
    "DROP DATABASE d",
    "CREATE CATALOG c",
    "CREATE FUNCTION f() RETURNS INT RETURN 1",
    "DROP FUNCTION f",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE SEQUENCE s",
    "CREATE ROLE r",
    "CREATE USER u",
    "REFRESH TABLE events",
    "CACHE TABLE events",
    "UNCACHE TABLE events",
    "EXPORT DATABASE 'x'",
    "IMPORT DATABASE 'x'",
    "LISTEN c",
    "NOTIFY c",
    "COMMENT ON TABLE events IS 'x'",
    "MSCK REPAIR TABLE events",
    "OPTIMIZE TABLE events",
];

/// Statements that write, name files, change settings or the catalogue, plain and in disguise.
fn statements() -> Vec<String> {
    let mut all: Vec<String> = ALONE.iter().map(|sql| (*sql).to_owned()).collect();
    all.extend(TABLES.iter().flat_map(|table| PER_TABLE.iter().map(move |sql| sql.replace("{t}", table))));
    // Each in disguise as well.
    let disguises: [fn(&str) -> String; 5] = [
        |sql| format!("EXPLAIN {sql}"),
        |sql| format!("EXPLAIN ANALYZE {sql}"),
        |sql| format!("/* SELECT */ -- SELECT 1\n{sql};"),
        |sql| format!("SELECT 1; {sql}"),
        |sql| format!("WITH x AS ({sql}) SELECT * FROM x"),
    ];
    let plain = all.clone();
    all.extend(disguises.iter().flat_map(|disguise| plain.iter().map(move |sql| disguise(sql))));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_statements_get_nowhere() {
    let statements = statements();
    assert!(statements.len() >= 1_000, "{}", statements.len());
    let lake = tokentrail::lake::Lake::open(&DEMO.uri()).await.unwrap();
    let state = lake.events().refresh().await.unwrap();
    let context = query::session(query::Limits { memory_bytes: 64 << 20, cores: 1 }).unwrap();
    let files = query::events(&lake, &context, state.files.values().cloned().collect()).unwrap();
    query::views::replace(&context, "events", files).unwrap();
    tokentrail::detect::log::register(&lake, &context).await.unwrap();
    let before = tables(&context).await;
    for sql in &statements {
        let asked: Result<_, QueryError> = async {
            let frame = query::plan(&context, sql).await?;
            query::answer(frame, 10, 1 << 20).await
        }
        .await;
        assert!(asked.is_err(), "got through: {sql}\n{asked:?}");
    }
    assert_eq!(tables(&context).await, before, "the catalogue is another");
    assert_eq!(lake.events().refresh().await.unwrap().version, state.version, "the lake is another");
    assert!(!std::path::Path::new("/tmp/stolen.csv").exists() && !std::path::Path::new("/tmp/stolen.parquet").exists());
}

async fn tables(context: &query::SessionContext) -> usize {
    query::answer(query::plan(context, "SHOW TABLES").await.unwrap(), 1_000, 1 << 20).await.unwrap().rows.count()
}

#[test]
fn bombs_end_within_their_limits() {
    let doublings: String = (1..40).map(|n| format!(", a{n} AS (SELECT x || x AS x FROM a{})", n - 1)).collect();
    let bombs = [
        "SELECT COUNT(*) FROM events a, events b, events c, events d, events e".to_owned(),
        "SELECT a.raw FROM events a, events b, events c ORDER BY a.raw || b.raw || c.raw".to_owned(),
        "SELECT array_agg(a.raw || b.raw || c.raw) FROM events a, events b, events c".to_owned(),
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r".to_owned(),
        format!("WITH a0 AS (SELECT raw AS x FROM events){doublings} SELECT length(x) FROM a39"),
        format!("SELECT {}1", "1 + ".repeat(100_000)),
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT '{}'", "x".repeat(10 << 20)),
    ];
    let uri = DEMO.uri();
    for bomb in &bombs {
        let file = DEMO.path("bomb.sql");
        std::fs::write(&file, bomb).unwrap();
        let started = std::time::Instant::now();
        let limits = ["--timeout", "2", "--memory-mib", "128", "-f", file.to_str().unwrap()];
        let asked = tokentrail(&[&["--lake", &uri, "query"], &limits[..]].concat());
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(!asked.status.success() && !said.is_empty(), "{:.80}: {said}", bomb);
        assert!(!said.contains("panicked") && !said.contains("overflowed"), "{:.80}: {said}", bomb);
        assert!(started.elapsed().as_secs() < 20, "{:.80} took {:?}", bomb, started.elapsed());
    }
    assert!(tokentrail(&["--lake", &uri, "query", "SELECT COUNT(*) FROM events"]).status.success());
}
