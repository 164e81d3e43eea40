//! Go programs: the words of its calling conventions, the current goroutine, strings, slices and interfaces.

use super::{
    cx::{Cx, R},
    mem::{Mem, Remote},
};
use crate::ir::{BinaryOp, Cond, Helper, UnaryOp, Value};
use weftrace_arch::HOST;
use weftrace_lang::{
    hir::{Expr, ExprKind as E, GoPlaces, Provider},
    span::Span,
    world::GoAbi,
};

/// Offsets in the runtime's descriptor of a type (internal/abi's Type): its flags, and where its name is.
const TYPE_FLAGS: i64 = 20;
const TYPE_NAME: i64 = 40;
/// Of the end of its stack in a goroutine's descriptor (runtime.g: stack.hi).
const STACK_END: i64 = 8;
/// The flag that a name begins with a `*` that isn't the type's.
const EXTRA_STAR: i64 = 1 << 1;
/// Of the type in a table of methods (internal/abi's ITab).
const ITAB_TYPE: i64 = 8;

impl Cx<'_, '_> {
    /// Word `n` of the arguments or results.
    pub(crate) fn go_argument(&mut self, n: u32, abi: GoAbi, span: Span) -> R<Value> {
        match abi {
            GoAbi::Registers => match HOST.go.words.get(n as usize) {
                Some(offset) => self.register((*offset).into(), span),
                None => self.not_yet(span, "Go's arguments that are passed on the stack, by number"),
            },
            GoAbi::Stack => {
                let sp = self.register(HOST.stack_pointer.into(), span)?;
                let at = self.b.binary_imm(BinaryOp::Iadd, sp, i64::from(HOST.go.stack) + 8 * i64::from(n));
                self.user_word(at, 8, span)
            }
            GoAbi::Unknown => self.elsewhere(span, "an argument of assembly"),
        }
    }

    /// A number in the process's memory.
    fn user_word(&mut self, address: Value, bytes: u32, span: Span) -> R<Value> {
        let buffer = self.temp(8);
        self.read_remote(buffer, bytes, &Remote::new(address, true), span)?;
        Ok(self.load(bytes, false, buffer))
    }

    /// The current goroutine's descriptor.
    fn goroutine(&mut self, go: &GoPlaces, span: Span) -> R<Value> {
        if go.abi == GoAbi::Registers || HOST.go.always_there {
            return self.register(HOST.go.goroutine.into(), span);
        }
        let thread = self.thread_pointer(span)?;
        let at = self.b.binary_imm(BinaryOp::Iadd, thread, go.runtime.tls);
        self.user_word(at, 8, span)
    }

    pub(crate) fn goid(&mut self, span: Span) -> R<Value> {
        let Some(Provider::Uprobe { go: Some(go), .. }) = self.target.map(|t| &t.provider) else {
            return self.elsewhere(span, "goid");
        };
        let Some(offset) = go.runtime.goid else { return self.elsewhere(span, "goid of this version of Go") };
        let goroutine = self.goroutine(go, span)?;
        let at = self.b.binary_imm(BinaryOp::Iadd, goroutine, i64::from(offset));
        self.user_word(at, 8, span)
    }

    /// From the stack pointer to the end of the goroutine's stack.
    pub(crate) fn go_depth(&mut self, span: Span) -> R<Value> {
        let Some(Provider::Uprobe { go: Some(go), .. }) = self.target.map(|t| &t.provider) else {
            return self.elsewhere(span, "the depth of a call");
        };
        let goroutine = self.goroutine(go, span)?;
        let at = self.b.binary_imm(BinaryOp::Iadd, goroutine, STACK_END);
        let end = self.user_word(at, 8, span)?;
        let sp = self.register(HOST.stack_pointer.into(), span)?;
        Ok(self.b.isub(end, sp))
    }

    /// x86-64: the base of `fs`, which the kernel keeps with the task.
    fn thread_pointer(&mut self, span: Span) -> R<Value> {
        let Some(offset) = self.member("task_struct", "thread.fsbase") else {
            return self.not_yet(span, "goid on a kernel whose task_struct is not known");
        };
        let task = self.kernel_call(Helper::CurrentTask, "goid", span)?;
        self.read_member(task, "task_struct", "thread.fsbase", offset, (8, false), span)
    }

    /// A string's or slice's first two words: address and length.
    fn go_header(&mut self, args: &[Expr], e: &Expr) -> R<(Value, Value)> {
        let Some(value) = args.first() else { return self.not_yet(e.span, "a Go value of nothing") };
        let m = self.memory_of(value)?;
        let at = self.load(8, false, m);
        let len = self.load(8, false, m.at(8));
        Ok((at, len))
    }

    /// As text: up to a NUL, if there is one in it.
    pub(crate) fn go_text(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let (at, len) = self.go_header(args, e)?;
        if !zeroed {
            self.fill(dst, cap);
        }
        self.either(
            |cx, some, none| {
                cx.brif(len, some, none);
                Ok(())
            },
            |cx| {
                // The script's number counts a NUL, for which there is always room. Nothing is read behind the text, as a read up to a NUL would be:
                // no NUL ends it, and the next page may not be there.
                let room = cap.saturating_sub(1);
                let mut most = cx.at_most(len, room);
                if let Some(limit) = args.get(1) {
                    let limit = cx.scalar(limit)?;
                    let none = cx.b.icmp_imm(Cond::Eq, limit, 0);
                    let limit = cx.b.iadd(limit, none);
                    let limit = cx.b.binary_imm(BinaryOp::Isub, limit, 1);
                    let smaller = cx.smaller(most, limit);
                    most = cx.at_most(smaller, room);
                }
                cx.read_remote_dyn(dst, most, &Remote::new(at, true), e.span)
            },
            |_| Ok(()),
        )
    }

    /// As bytes: u32 length, then the bytes.
    pub(crate) fn go_bytes(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let (at, len) = self.go_header(args, e)?;
        if !zeroed {
            self.fill(dst.at(4), cap);
        }
        let mut most = self.at_most(len, cap);
        if let Some(limit) = args.get(1) {
            let limit = self.scalar(limit)?;
            let limit = self.at_most(limit, cap);
            let smaller = self.smaller(most, limit);
            most = self.at_most(smaller, cap);
        }
        self.store(4, most, dst);
        self.either(
            |cx, some, none| {
                cx.brif(most, some, none);
                Ok(())
            },
            |cx| cx.read_remote_dyn(dst.at(4), most, &Remote::new(at, true), e.span),
            |_| Ok(()),
        )
    }

    /// The name of the type that an interface holds; `<nil>` where it holds nothing.
    pub(crate) fn go_type_name(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let constants: Vec<i64> =
            args.iter().skip(1).filter_map(|a| if let E::Int(n) = a.kind { Some(n) } else { None }).collect();
        let [any, types, mm, start_code] = constants[..] else { return self.not_yet(e.span, "this interface") };
        let (word, _) = self.go_header(args, e)?;
        if !zeroed {
            self.fill(dst, cap);
        }
        self.either(
            |cx, some, none| {
                cx.brif(word, some, none);
                Ok(())
            },
            |cx| {
                let descriptor = if any == 0 {
                    let at = cx.b.binary_imm(BinaryOp::Iadd, word, ITAB_TYPE);
                    cx.user_word(at, 8, e.span)?
                } else {
                    word
                };
                let task = cx.kernel_call(Helper::CurrentTask, "the type in an interface", e.span)?;
                let mm = cx.read_member(task, "task_struct", "mm", mm as u32, (8, false), e.span)?;
                let base = cx.read_member(mm, "mm_struct", "start_code", start_code as u32, (8, false), e.span)?;
                let base = cx.b.binary_imm(BinaryOp::Iadd, base, types);
                cx.go_name(descriptor, base, dst, cap, e.span)
            },
            |cx| {
                cx.literal_into(b"<nil>", dst, cap, true);
                Ok(())
            },
        )
    }

    /// A type's name by its descriptor: a byte of flags, a length in one or two bytes, the text.
    fn go_name(&mut self, descriptor: Value, types: Value, dst: Mem, cap: u32, span: Span) -> R<()> {
        let at = self.b.binary_imm(BinaryOp::Iadd, descriptor, TYPE_NAME);
        let distance = self.user_word(at, 4, span)?;
        let distance = self.b.unary(UnaryOp::Sext32, distance);
        let name = self.b.binary(BinaryOp::Iadd, types, distance);
        let at = self.b.binary_imm(BinaryOp::Iadd, descriptor, TYPE_FLAGS);
        let flags = self.user_word(at, 1, span)?;
        let star = self.b.binary_imm(BinaryOp::Band, flags, EXTRA_STAR);
        let star = self.b.binary_imm(BinaryOp::Lshr, star, 1);
        let at = self.b.binary_imm(BinaryOp::Iadd, name, 1);
        let both = self.user_word(at, 2, span)?;
        let high = self.b.binary_imm(BinaryOp::Lshr, both, 8);
        let low = self.b.binary_imm(BinaryOp::Band, both, 0xff);
        // 0 or 1: whether a second byte of the length follows.
        let more = self.b.binary_imm(BinaryOp::Lshr, low, 7);
        let low = self.b.binary_imm(BinaryOp::Band, low, 0x7f);
        let high = self.b.binary_imm(BinaryOp::Shl, high, 7);
        let high = self.b.binary(BinaryOp::Imul, high, more);
        let len = self.b.binary(BinaryOp::Bor, low, high);
        let text = self.b.binary_imm(BinaryOp::Iadd, name, 2);
        let text = self.b.binary(BinaryOp::Iadd, text, more);
        let text = self.b.binary(BinaryOp::Iadd, text, star);
        let len = self.b.isub(len, star);
        let most = self.at_most(len, cap.saturating_sub(1));
        let size = self.b.binary_imm(BinaryOp::Iadd, most, 1);
        self.read_remote_str(dst, size, &Remote::new(text, true), span).map(|_| ())
    }
}
