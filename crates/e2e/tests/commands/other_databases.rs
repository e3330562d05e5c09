//! Variables for other databases don't affect the private one, and unusable databases are reported.

use crate::said;
use e2e::{Product, database_of, directory, orchestrator, stop_database};
use sim_llm::Scenario;
use sqlx::Executor;

/// The port of the default may be taken.
const LISTEN: (&str, &str) = ("ORCHESTRATOR_LISTEN", "127.0.0.1:0");

#[tokio::test(flavor = "multi_thread")]
async fn variables_for_other_databases_do_not_affect_the_private_one() {
    let variables = [
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/nowhere/root.pem"),
        ("PGSSLCERT", "/nowhere/own.pem"),
        ("PGSSLKEY", "/nowhere/own.key"),
        ("PGOPTIONS", "-c no_such_setting=1"),
        ("PGHOST", "db.example"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "hunter2hunter2"),
        ("PGDATABASE", "elsewhere"),
        ("PGDATA", "/nowhere"),
        ("PGAPPNAME", "other"),
        ("PGTZ", "Mars"),
        ("PGSERVICE", "none"),
    ];
    let mut product = Product::start_with(Scenario::from_rules(Vec::new()), &variables).await;
    let data_dir = product.data_dir();
    let arguments = ["runs", "--data-dir", data_dir.to_str().unwrap()];
    assert_eq!(product.stop().await, Some(0));
    let output = orchestrator(&arguments, &variables, product.directory.path());
    assert!(output.status.success(), "{}", said(&output));
    product.start_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_with_another_encoding_is_refused() {
    let product = Product::start(Scenario::from_rules(Vec::new())).await;
    let database = database_of(&product.data_dir()).await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        let made =
            format!("create database {name} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0");
        database.execute(sqlx::AssertSqlSafe(made)).await.unwrap();
        let sockets = product.data_dir().join("sockets");
        let url = format!("postgres:///{name}?host={}&user=orchestrator", sockets.display());
        let other = directory();
        let data_dir = other.path().join("data");
        for command in ["serve", "runs", "doctor"] {
            let arguments = [command, "--data-dir", data_dir.to_str().unwrap()];
            let output = orchestrator(&arguments, &[("DATABASE_URL", &url), LISTEN], other.path());
            let said = said(&output);
            assert_eq!(output.status.code(), Some(3), "{command}: {said}");
            for words in [encoding, "UTF8", "createdb --encoding=UTF8"] {
                assert!(said.contains(words), "{command}: {said}");
            }
        }
        stop_database(&data_dir);
    }
}

#[test]
fn passwords_are_masked_completely() {
    let directory = directory();
    let data_dir = directory.path().join("data");
    for password in [
        "hunter2@hunter3",
        "hunter2@a/hunter3",
        "hunter2/hunter3",
        "hunter2?hunter3",
        "hunter2#hunter3",
    ] {
        let url = format!("postgres://me:{password}@127.0.0.1:1/work");
        for command in ["serve", "runs", "doctor", "config"] {
            let arguments = [command, "--data-dir", data_dir.to_str().unwrap()];
            let output = orchestrator(&arguments, &[("DATABASE_URL", &url), LISTEN], directory.path());
            let said = said(&output);
            assert!(!said.contains("hunter"), "{command}: {said}");
        }
    }
}
