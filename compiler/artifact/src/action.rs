//! Actions: what happens in user space after an event. A program (kernel or native) writes a record
//! `{RecordHeader, payload}`; the header names the action, the action says how to read the payload.

use crate::{
    Place,
    map::MapId,
    ty::{Field, Type},
};
use serde::{Deserialize, Serialize};

/// Index into [`crate::Artifact::actions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionId(pub u32);

/// Index into [`crate::Artifact::streams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId(pub u32);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Action {
    pub kind: ActionKind,
    /// The payload's members; offsets count from the end of the record header.
    pub args: Vec<Field>,
    /// Bytes of the payload.
    pub size: u32,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionKind {
    Printf(Vec<Piece>),
    /// errorf, warnf, debugf: printf with a level and the script's place.
    Log {
        level: LogLevel,
        format: Vec<Piece>,
    },
    /// `print(e)`: one argument.
    PrintValue,
    /// `print(args)` in a block of a join: the result at hand, in the output's own form.
    PrintJoin,
    /// `print(@m[k])`: args are the key (if any) then the value.
    PrintMapValue {
        map: MapId,
    },
    /// `print(@m, top, div)`
    PrintMap {
        map: MapId,
        top: u32,
        div: u32,
    },
    Clear {
        map: MapId,
    },
    Zero {
        map: MapId,
    },
    /// A map of user space is updated, since user space makes its key: of stacks that it unwinds ([`Type::Sample`] where the map's key has
    /// [`Type::UStack`]). Args are the key and the value.
    Update {
        map: MapId,
        how: UpdateHow,
    },
    /// `time(fmt)`: args are empty; the time is the record's.
    Time {
        fmt: String,
    },
    /// `exit(code)`: one argument, i64.
    Exit,
    /// `join(argv, sep)`: one Array of Str; empty strings end it.
    Join {
        separator: String,
    },
    /// `cat(path)`: pieces format the path.
    Cat(Vec<Piece>),
    /// `capture("comment", …)`: the packet at hand is kept; pieces format its comment.
    Capture {
        comment: Option<Vec<Piece>>,
    },
    /// `skboutput(path, …)`: a packet for a capture file; arguments are the bytes kept, the bytes there were, and the bytes.
    Packet {
        path: String,
    },
    /// `system(cmd)`: needs --unsafe.
    System(Vec<Piece>),
    /// `unwatch(address)`: one argument, u64.
    Unwatch,
    /// `emit stream(...)`: payload is the stream's record.
    Emit {
        stream: StreamId,
    },
    /// A group of an alert: args are whether it meets the condition (u8), `keys` keys, and what the message says. Without a message its
    /// text is made of the keys.
    Alert {
        alert: u32,
        keys: u32,
        message: Option<Vec<Piece>>,
    },
    /// All groups of an alert that meet its condition now have been told.
    AlertLooked {
        alert: u32,
    },
    /// Something went wrong at a place, which has counter `site` of [`crate::map::Role::Warnings`]. One argument, i64: the
    /// helper's result.
    Warn {
        about: Warning,
        site: u32,
    },
}

impl ActionKind {
    /// Whether what it is about is counted elsewhere, so that a record which finds no room is no loss: what went wrong at a place has a counter, which is told at
    /// the end.
    pub fn is_counted(&self) -> bool {
        matches!(self, Self::Warn { .. })
    }

    /// Whether a record must say when it was made: reading the clock takes more time than the rest of a small record.
    pub fn asks_time(&self) -> bool {
        matches!(
            self,
            Self::Time { .. } | Self::Packet { .. } | Self::Emit { .. } | Self::Warn { .. } | Self::Alert { .. }
        )
    }
}

/// What an update does with the value that a map has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateHow {
    Set,
    /// Adds a number.
    Add,
    /// Adds an aggregate of one event, as those of several CPUs are added up.
    Merge,
}

/// What went wrong while a probe ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Warning {
    /// The result is 1.
    DivisionByZero,
    /// A number is 0, of anything else the last element is taken.
    ArrayBounds,
    /// A kernel helper failed, by its name without `bpf_`.
    Helper(String),
    /// In words.
    Other(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    Error,
    Warning,
    Debug,
}

/// A part of a printf format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Piece {
    /// Bytes: a format may hold any.
    Text(Vec<u8>),
    Arg {
        index: u32,
        spec: Spec,
    },
}

/// `%[flags][width][.precision][length]conversion`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub minus: bool,
    pub zero: bool,
    pub plus: bool,
    pub space: bool,
    pub alternate: bool,
    pub width: Option<u32>,
    pub precision: Option<u32>,
    pub conv: Conv,
    /// Integers are truncated to this many bytes first (`%hhd` = 1, `%hd` = 2, `%ld` = 8); None: to C's int, 4.
    pub length: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conv {
    /// d, i
    #[default]
    Signed,
    /// u
    Unsigned,
    Octal,
    /// x
    HexLower,
    /// X
    HexUpper,
    /// c
    Char,
    /// p
    Pointer,
    /// s: strings, and every type that has a text form
    Str,
    /// r: buffer, printable or \xNN
    Buf,
    /// rx: hexadecimal with `\x`
    BufHex,
    /// rh: hexadecimal with spaces
    BufHexSpaced,
    /// gr: names of the kernel's allocation flags
    Gfp,
}

/// A stream: typed records that blocks emit and joins read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamSpec {
    /// Dotted: `tcp.connect`.
    pub name: String,
    pub fields: Vec<Field>,
    /// Bytes of a record's payload.
    pub size: u32,
}

impl StreamSpec {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name.as_deref() == Some(name))
    }
}

impl Action {
    pub fn arg_types(&self) -> impl Iterator<Item = &Type> {
        self.args.iter().map(|f| &f.ty)
    }
}
