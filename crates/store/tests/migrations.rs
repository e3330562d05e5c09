//! Rows written before a migration are still readable after it.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::{fs, path::PathBuf};

/// A run with one task in its first attempt, whose turn was written by the first version.
const OLD_ROWS: &str = r#"
    insert into workspace (id, path, hub) overriding system value values (1, '/w', 'w.git');
    insert into run (id, request, workspace, objective, director_provider, director_model, worker_provider,
        worker_model, limits, branch, max_active, trace, deadline_at)
    values ('0198f1de-0000-7000-8000-000000000001', '{}', 1, 'Do it', 'p', 'd', 'p', 'w', '{}', 'b', 1, '{}', now());
    insert into task (id, run, key, ordinal, title, profile, change, spec, state) overriding system value values
        (1, '0198f1de-0000-7000-8000-000000000001', 'core', 0, 'Core', 'coder', 'required', '{}', 'active');
    insert into attempt (id, run, task, number, fence) overriding system value values
        (1, '0198f1de-0000-7000-8000-000000000001', 1, 1, 1);
    insert into turn (attempt, number, assistant, model, input_tokens, output_tokens, cost) values
        (1, 1, '{"role": "assistant", "content": "Hm."}', 'w', 10, 5, 100),
        (1, 2, '{"role": "assistant", "content": null, "tool_calls": []}', 'w', 10, 5, 100);
"#;

fn migrations() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.sort();
    files
}

async fn apply(connection: &mut PgConnection, statements: String) {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn turns_of_the_first_version_belong_to_the_model_loop() {
    let database = store::testing::database().await;
    let mut connection = PgConnection::connect_with(database.options()).await.unwrap();
    apply(&mut connection, "create schema older; set search_path to older".into()).await;
    let journal = |file: &PathBuf| file.to_string_lossy().ends_with("0007_journal.sql");
    let files = migrations();
    let at = files.iter().position(journal).unwrap();
    apply(&mut connection, fs::read_to_string(&files[0]).unwrap()).await;
    apply(&mut connection, OLD_ROWS.into()).await;
    for file in &files[1..=at] {
        apply(&mut connection, fs::read_to_string(file).unwrap()).await;
    }
    let query = "select backend, backend_version, text, payload ->> 'role' as role from turn order by number";
    let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    let turns: Vec<(String, i32, Option<String>, String)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    let turn = |text: Option<&str>| {
        let text = text.map(str::to_owned);
        ("model_loop".to_owned(), 1, text, "assistant".to_owned())
    };
    assert_eq!(turns, [turn(Some("Hm.")), turn(None)]);
}
