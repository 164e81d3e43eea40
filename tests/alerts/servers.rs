//! Debian's Alertmanager and Pushgateway.

use super::{file, json, weftrace};
use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A server that ends, and leaves nothing, whatever happens.
pub struct Served {
    pub child: Child,
    pub port: u16,
    pub folder: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A server of Debian's; None: it isn't here.
fn served(program: &str, args: impl Fn(u16, &Path) -> Vec<String>) -> Option<Served> {
    if Command::new(program).arg("--version").output().is_err() {
        println!("SKIP {program}");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let folder = file(program);
    fs::create_dir_all(&folder).expect("a folder");
    let child = Command::new(program)
        .args(args(port, &folder))
        .current_dir(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let served = Served { child, port, folder };
    let due = Instant::now() + Duration::from_mins(1);
    while get(port, "/-/ready").is_none_or(|(status, _)| status != 200) {
        assert!(Instant::now() < due, "{program} isn't ready");
        thread::sleep(Duration::from_millis(50));
    }
    Some(served)
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Asks until an answer is as wanted.
fn until(port: u16, path: &str, wanted: impl Fn(&str) -> bool) -> String {
    let due = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = get(port, path).map_or(String::new(), |(_, body)| body);
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < due, "{path}: {answer}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs until it is told to stop: the group fires all the time, or once `file` is there no more.
fn going_on(to: &str, file: &Path) -> Child {
    let program = format!(
        "interval:100ms {{ @n[\"a\\\"<1>\"] = 1; }} self:signal:SIGUSR2 {{ clear(@n); @off = 1; }} \
         alert \"busy\" when @n[$who] > 0 && @off == 0 group by $who to {to} labels team = \"net\" message \"who: %s\", $who;"
    );
    weftrace(&["run", "-q", "-e", &program])
        .stdout(Stdio::null())
        .stderr(fs::File::create(file).expect("a file"))
        .spawn()
        .expect("weftrace runs")
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().is_ok_and(|s| s.success()));
}

#[test]
fn alertmanager_takes_them() {
    let Some(server) = served("prometheus-alertmanager", |port, folder| {
        let config = folder.join("config.yml");
        fs::write(&config, "route:\n  receiver: none\nreceivers:\n- name: none\n").expect("written");
        vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".into(),
        ]
    }) else {
        return;
    };
    let log = file("alertmanager.log");
    let mut child = going_on(&format!("alertmanager(\"http://127.0.0.1:{}\")", server.port), &log);
    let body = until(server.port, "/api/v2/alerts", |body| body.contains("busy"));
    let alert = &json(&body)[0];
    assert_eq!(alert["labels"], json("{\"alertname\": \"busy\", \"who\": \"a\\\"<1>\", \"team\": \"net\"}"));
    assert_eq!(alert["annotations"]["summary"], "who: a\"<1>");
    assert_eq!(alert["status"]["state"], "active");
    signal(&child, "-USR2");
    // Those that have ended are not listed.
    until(server.port, "/api/v2/alerts", |body| body.trim() == "[]");
    signal(&child, "-INT");
    assert_eq!(child.wait().expect("ended").code(), Some(4));
    assert_eq!(fs::read_to_string(&log).expect("its log"), "");
    let _ = fs::remove_file(&log);
}

#[test]
fn pushgateway_keeps_them_until_the_end() {
    let Some(server) =
        served("prometheus-pushgateway", |port, _| vec![format!("--web.listen-address=127.0.0.1:{port}")])
    else {
        return;
    };
    let log = file("pushgateway.log");
    let mut child = going_on(&format!("pushgateway(\"http://127.0.0.1:{}\")", server.port), &log);
    let value = |body: &str| -> HashMap<String, String> {
        let rows = body.lines().filter(|l| l.starts_with("weftrace_alert_firing{"));
        rows.filter_map(|l| l.rsplit_once(' ')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let body = until(server.port, "/metrics", |body| value(body).values().any(|v| v == "1"));
    let rows = value(&body);
    let (labels, _) = rows.iter().next().expect("a row");
    for wanted in ["alertname=\"busy\"", "who=\"a\\\"<1>\"", "team=\"net\"", "job=\"weftrace\"", "script=\"-e\""] {
        assert!(labels.contains(wanted), "{labels}");
    }
    signal(&child, "-USR2");
    until(server.port, "/metrics", |body| value(body).values().any(|v| v == "0"));
    signal(&child, "-INT");
    assert_eq!(child.wait().expect("ended").code(), Some(4));
    // Deleted at the end.
    assert!(value(&get(server.port, "/metrics").expect("an answer").1).is_empty());
    assert_eq!(fs::read_to_string(&log).expect("its log"), "");
    let _ = fs::remove_file(&log);
}
