//! Places of the artifact as messages show them.

use crate::sink::Location;
use weftrace_artifact::{Artifact, Place};

/// Macro calls around a place; far more than the checker lets nest.
const MOST_FRAMES: usize = 64;

/// File, line and columns of a place, with the macro calls through which it is seen.
pub(crate) fn locate(artifact: &Artifact, place: Place) -> Location {
    let mut location = one(&artifact.sources, place);
    let mut expansion = place.expansion;
    while let Some(call) = expansion.checked_sub(1).and_then(|i| artifact.expansions.get(i as usize))
        && location.frames.len() < MOST_FRAMES
    {
        location.frames.push(one(&artifact.sources, *call));
        expansion = call.expansion;
    }
    location
}

fn one(sources: &[(String, String)], place: Place) -> Location {
    let Some((file, text)) = sources.get(place.file as usize) else { return Location::default() };
    let start = floor(text, place.start);
    let end = floor(text, place.end).max(start);
    let (line, column) = line_column(text, start);
    let (end_line, end_column) = line_column(text, end);
    let lines = (end_line - line + 1) as usize;
    Location {
        file: file.clone(),
        line,
        column,
        end_line,
        end_column,
        source: text.lines().skip(line as usize - 1).take(lines).map(str::to_owned).collect(),
        frames: Vec::new(),
    }
}

/// Both from 1; columns in characters.
fn line_column(text: &str, at: usize) -> (u32, u32) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() as u32 + 1, before[line_start..].chars().count() as u32 + 1)
}

fn floor(text: &str, at: u32) -> usize {
    let mut at = (at as usize).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_columns() {
        let artifact = Artifact {
            sources: vec![("a.bt".to_owned(), "BEGIN {\n  exit();\n}".to_owned())],
            expansions: vec![Place { start: 0, end: 5, expansion: 7, ..Place::default() }],
            ..Artifact::default()
        };
        let at = locate(&artifact, Place { start: 10, end: 14, expansion: 1, ..Place::default() });
        assert_eq!((at.line, at.column, at.end_line, at.end_column), (2, 3, 2, 7));
        assert_eq!(at.source, ["  exit();"]);
        assert_eq!(at.frames.iter().map(|f| (f.line, f.column, f.end_column)).collect::<Vec<_>>(), [(1, 1, 6)]);
        assert_eq!(locate(&artifact, Place { file: 3, ..Place::default() }), Location::default());
        let whole = locate(&artifact, Place { start: 0, end: 900, ..Place::default() });
        assert_eq!((whole.line, whole.end_line, whole.source.len()), (1, 3, 3));
    }
}
