//! Handles: `u32` newtypes, one per kind of entity, that print as in the text form.

use std::fmt;

macro_rules! entity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

entity!(/** An SSA value. */ Value, "v");
entity!(/** A basic block. */ Block, "block");
entity!(/** An instruction; has no text form of its own. */ Inst, "inst");
entity!(/** A piece of the function's memory. */ Slot, "ss");
entity!(/** A byte string. */ Data, "data");
entity!(/** A field path. */ Path, "path");
entity!(/** A place in the script. */ SpanId, "@");
