//! Repositories and a project that uses them.

use super::traced::text;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

/// A folder for repositories and a project, gone at the end.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("weftrace-libraries-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("project")).unwrap();
        for path in [folder.clone(), folder.join("project")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(fs::canonicalize(folder).unwrap())
    }

    pub fn git(&self, repository: &str, args: &[&str]) {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.org",
                "-c",
                "init.defaultBranch=main",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(args)
            .current_dir(self.0.join(repository))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }

    /// Commits files, in a repository that need not be there yet.
    pub fn commit(&self, repository: &str, files: &[(&str, &str)]) {
        let folder = self.0.join(repository);
        if !folder.exists() {
            fs::create_dir_all(&folder).unwrap();
            self.git(repository, &["init", "-q"]);
        }
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(repository, &["add", "-A"]);
        self.git(repository, &["commit", "-q", "-m", "more"]);
    }

    pub fn project(&self) -> PathBuf {
        self.0.join("project")
    }

    pub fn weftrace(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).current_dir(self.project()).output().unwrap()
    }

    pub fn lib(&self, args: &[&str]) -> Output {
        self.lib_command(args).output().unwrap()
    }

    pub fn lib_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
        command.arg("lib").args(args).current_dir(self.project());
        command
    }

    /// What a command prints that has to succeed.
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.lib(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command says that has to fail.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.lib(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    pub fn script(&self, text: &str) {
        fs::write(self.project().join("x.probe"), text).unwrap();
    }

    /// What `check` says of the project's script; empty: nothing.
    pub fn checked(&self) -> String {
        text(&self.weftrace(&["check", "--read", "x.probe"]).stderr)
    }

    pub fn lock(&self) -> String {
        fs::read_to_string(self.project().join("weftrace.lock")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn manifest(name: &str, version: &str, more: &str) -> String {
    format!("[library]\nname = \"{name}\"\nversion = \"{version}\"\n{more}")
}

/// Exports one of everything: a stream, a function, a macro, a probe, a parameter.
pub const DB: &str = "// title:   Queries\n// answers: which queries are slow?\n// layers:  packets\nimport \"./units\";\n\
    param slow_query = 100ms \"longer ones\";\n\
    macro is_slow(d) { d > slow_query }\n\
    pcap:any:\"tcp\" /tcp.handshake.completed/ { emit team.query(conn = tcp.conn, start = tcp.handshake.start, end = frame.time_boot, dur = in_ms(tcp.handshake.dur)); }\n\
    pcap:any { @seen_by_team = count(); }\n";
pub const UNITS: &str = "fn in_ms($d: uint64): uint64 { return $d / 1000000; }\n";
pub const USE: &str = "import \"team/db\";\npcap:any { if (is_slow(frame.len)) { @n = count(); } @ms = in_ms(frame.len); }\n\
    join q { from r = team.query(); total r.start; }\njoin:q { @joined = count(); }\n";

pub fn team(place: &Place) {
    place
        .commit("team", &[("weftrace.toml", &manifest("team", "1.0.0", "")), ("db.probe", DB), ("units.probe", UNITS)]);
    place.git("team", &["tag", "v1.0.0"]);
}
