//! weftrace's own options among a script's arguments.

use crate::{
    args::{self, Source},
    bundle,
};
use std::ffi::OsString;
use weftrace_lang::{
    ast::{Item, Script},
    span::FileId,
    syntax,
};

/// The command line with weftrace's own options before the script's name, if any follow it and the script does not take them.
pub fn options_first(argv: &[OsString], source: &Source) -> Option<Vec<OsString>> {
    let (script, arguments) = source.script.split_first().filter(|_| source.program.is_none())?;
    let may_be = |a: &OsString| a.to_string_lossy().starts_with('-');
    if !arguments.iter().any(may_be) {
        return None;
    }
    let text = match std::fs::read(script) {
        Ok(bytes) => String::from_utf8(bytes).ok()?,
        Err(_) => bundle::find(&script.to_string_lossy())?.to_owned(),
    };
    let (parsed, _) = syntax::parse_with(&text, FileId(0), &mut syntax::Defines::default());
    let before = argv.len().checked_sub(source.script.len())?;
    let (mut options, mut rest) = (Vec::new(), Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let shown = word.to_string_lossy();
        if shown == "--" {
            rest.push(word.clone());
            break;
        }
        match own_option(&shown, &parsed, &text) {
            Some(own) if !matches!(own.as_str(), "--help" | "-h") => {
                options.push(word.clone());
                if !shown.contains('=') && args::takes_value(&own) {
                    options.extend(words.next().cloned());
                }
            }
            _ => rest.push(word.clone()),
        }
    }
    rest.extend(words.cloned());
    if options.is_empty() {
        return None;
    }
    let own = argv.get(..before)?.iter().filter(|word| *word != "--").cloned();
    let name = std::iter::once(script.clone());
    // A script may be called as an option is.
    Some(own.chain(options).chain(["--".into()]).chain(name).chain(rest).collect())
}

/// How to write a command line where a command stands in a script's place, behind options or another command.
pub fn command_first(script: &OsString) -> Option<String> {
    let name = script.to_str().filter(|name| args::COMMANDS.contains(name))?;
    let words: Vec<String> = std::env::args_os().skip(1).map(|w| w.to_string_lossy().into_owned()).collect();
    let place = words.iter().position(|w| w == name).map(|first| match first {
        // `weftrace run --read FILE run …`
        0 => words[1..].iter().position(|w| w == name).map_or(0, |n| n + 1),
        _ => first,
    })?;
    let options = words[..place].iter().skip_while(|w| args::COMMANDS.contains(&w.as_str()));
    let line: Vec<String> = options.chain(&words[place + 1..]).map(|w| in_shell(w)).collect();
    Some(format!("weftrace {name} {}", line.join(" ")))
}

/// A word as a shell takes it.
fn in_shell(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The option of weftrace among the script's arguments, where the script has no such flag and takes no such argument.
pub fn own_option(argument: &str, script: &Script, text: &str) -> Option<String> {
    const SHORT: &[&str] = &["-e", "-f", "-o", "-q", "-v", "-vv", "-c", "-p", "-h"];
    let option = argument.split('=').next().unwrap_or(argument);
    let params =
        || script.items.iter().filter_map(|i| if let Item::Param(p) = i { Some(p.name.text.as_str()) } else { None });
    let own = match option.strip_prefix("--") {
        Some(name) => args::is_option_of_run(name) && !params().any(|p| p == name),
        // A script with parameters has no use for single letters; one that reads $1 may.
        None => SHORT.contains(&option) && (params().next().is_some() || !reads_positionals(text)),
    };
    own.then(|| option.to_owned())
}

/// Whether `$1`, `$2` … or `$#` stands in a text.
pub fn reads_positionals(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '#'))
}
