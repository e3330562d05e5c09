//! Unusable databases: each has its own error, without the password.

use crate::support::{Refused, all_refused, goes_on};
use e2e::Product;
use sim_llm::Scenario;
use sqlx::postgres::PgConnectOptions;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};
use store::{
    Store,
    connect::{Database, PoolSettings},
};

const PASSWORD: &str = "hunter2hunter2";

/// What a server answers to a connection.
#[derive(Clone, Copy)]
enum Greeting {
    /// An error with this code and text.
    Refusal(&'static str, &'static str),
    /// Acceptance by a server of this version.
    Version(&'static str),
    /// Bytes of another protocol.
    Foreign,
}

/// Listens like Postgres; returns the address for `DATABASE_URL`.
fn server(greeting: Greeting) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client may disconnect early.
            thread::spawn(move || serve(client, greeting).unwrap_or_default());
        }
    });
    format!("postgres://me:{PASSWORD}@{address}/work")
}

fn serve(mut client: TcpStream, greeting: Greeting) -> std::io::Result<()> {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    loop {
        let start = packet(&mut client)?;
        if !start.starts_with(&SSL_REQUEST) {
            break;
        }
        client.write_all(b"N")?;
    }
    let version = match greeting {
        Greeting::Foreign => return client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Greeting::Refusal(code, words) => {
            let body = format!("SFATAL\0VFATAL\0C{code}\0M{words}\0\0");
            return client.write_all(&message(b'E', body.as_bytes()));
        }
        Greeting::Version(version) => version,
    };
    client.write_all(&message(b'R', &0_u32.to_be_bytes()))?;
    client.write_all(&message(b'S', format!("server_version\0{version}\0").as_bytes()))?;
    client.write_all(&message(b'Z', b"I"))?;
    answer(&mut client, version)
}

/// Answers every statement with one row with the version.
fn answer(client: &mut TcpStream, version: &str) -> std::io::Result<()> {
    let mut kind = [0];
    loop {
        client.read_exact(&mut kind)?;
        packet(client)?;
        let reply = match kind[0] {
            b'P' => message(b'1', &[]),
            b'D' => {
                let column = [
                    &[0, 1][..],
                    b"version\0",
                    &[0; 6],
                    &25_u32.to_be_bytes(),
                    &[0xff, 0xff],
                    &[0xff; 4],
                    &[0; 2],
                ];
                [message(b't', &[0, 0]), message(b'T', &column.concat())].concat()
            }
            b'B' => message(b'2', &[]),
            b'E' => {
                let length = u32::try_from(version.len()).unwrap().to_be_bytes();
                let row = [&[0, 1][..], &length, version.as_bytes()].concat();
                [message(b'D', &row), message(b'C', b"SELECT 1\0")].concat()
            }
            b'C' => message(b'3', &[]),
            b'S' => message(b'Z', b"I"),
            _ => Vec::new(),
        };
        client.write_all(&reply)?;
    }
}

/// The body of the next packet, which starts with its length.
fn packet(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
    client.read_exact(&mut body)?;
    Ok(body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// The address of a database of the product's own private server.
fn private(options: &PgConnectOptions, name: &str) -> String {
    let socket = options.get_socket().expect("the private server has a socket");
    format!("postgres:///{name}?host={}&user=orchestrator", socket.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_databases_have_distinct_errors_without_password() {
    let product = Product::start(Scenario::from_rules(vec![])).await;
    let database = product.database().await;
    let options = database.connect_options();
    let missing = private(&options, "nowhere");
    let newer = private(&options, "newer");
    sqlx::query("create database newer").execute(&database).await.unwrap();
    let place = product.directory.path().to_owned();
    from_the_future(&newer).await;

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let closed_url = format!("postgres://me:{PASSWORD}@{closed}/work");
    let refused = server(Greeting::Refusal(
        "28P01",
        "password authentication failed for user \"me\"",
    ));
    let full = server(Greeting::Refusal("53300", "sorry, too many clients already"));
    let old = server(Greeting::Version("9.6.24"));
    let foreign = server(Greeting::Foreign);
    let lines: [(&str, &[&str]); 11] = [
        ("mysql://me@localhost/work", &["DATABASE_URL", "postgres://"]),
        ("postgres://me:p@ss:w/ord@host:port/x", &["DATABASE_URL"]),
        ("postgres://me@localhost:99999999/x", &["DATABASE_URL"]),
        ("not an address", &["DATABASE_URL", "postgres://"]),
        (&closed_url, &[&closed, "can't be reached", "start it", "DATABASE_URL"]),
        ("postgres:///x?host=/nowhere", &["/nowhere", "can't be reached"]),
        (&refused, &["refuses user me", "password", "DATABASE_URL"]),
        (&full, &["too many clients"]),
        (&old, &["9.6.24", "13 or later"]),
        (&foreign, &["can't be"]),
        (&missing, &["no database nowhere", "createdb nowhere"]),
    ];
    let other = place.join("other");
    let other = other.to_str().unwrap();
    let arguments = &["serve", "--listen", "127.0.0.1:0", "--data-dir", other];
    let environments: Vec<_> = lines.iter().map(|(url, _)| [("DATABASE_URL", *url)]).collect();
    let lines = lines.iter().zip(&environments);
    let lines = lines.map(|((_, says), environment)| Refused {
        arguments,
        environment,
        code: 3,
        says,
    });
    all_refused(lines, &place);
    let environment = &[("DATABASE_URL", newer.as_str())];
    let says: &[&str] = &["20990101000000", "newer orchestrator", "another database"];
    all_refused(
        [Refused {
            arguments,
            environment,
            code: 3,
            says,
        }],
        &place,
    );
    for url in [&refused, &closed_url, &old] {
        let output = e2e::orchestrator(arguments, &[("DATABASE_URL", url)], &place);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        assert!(!said.contains(PASSWORD), "{said}");
    }
    assert!(!Path::new(other).join("server.json").exists());
    goes_on(&product).await;
}

/// A database that a later version has migrated.
async fn from_the_future(url: &str) {
    let made = Store::open(Database::Url(url.to_owned()), &PoolSettings::default()).await;
    made.unwrap().close().await;
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (20990101000000, 'of the future', true, '', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
}

/// The private server: errors at its start are reported in the same way.
#[test]
fn private_server_that_can_not_start_names_the_fix() {
    let place = e2e::directory();
    let data_dir = place.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let arguments = &["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir];
    let refused = Refused {
        arguments,
        environment: &[("ORCHESTRATOR_PG_BIN", "/nowhere/bin")],
        code: 3,
        says: &["/nowhere/bin", "ORCHESTRATOR_PG_BIN"],
    };
    all_refused([refused], place.path());

    // A broken cluster is neither deleted nor overwritten.
    let cluster = Path::new(data_dir).join("postgres");
    std::fs::create_dir_all(&cluster).unwrap();
    std::fs::write(cluster.join("PG_VERSION"), "7\n").unwrap();
    let cluster_path = cluster.to_str().unwrap();
    all_refused(
        [Refused {
            arguments,
            environment: &[],
            code: 3,
            says: &["7", cluster_path],
        }],
        place.path(),
    );
    assert_eq!(std::fs::read_to_string(cluster.join("PG_VERSION")).unwrap(), "7\n");
}
