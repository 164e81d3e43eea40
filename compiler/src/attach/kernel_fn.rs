//! Functions of the kernel: at a breakpoint or a call of ftrace (kprobe), or by a trampoline made from type information (fentry).

use super::{
    Ask, TRAMPOLINE,
    table::{Stand, Word, Words},
};
use weftrace_arch::HOST;
use weftrace_artifact::program::ProgType;
use weftrace_lang::{
    abi,
    hir::{Provider, Ty},
    world::FnProto,
};

pub(super) fn fentry_for_kprobe(ask: &Ask<'_>) -> Option<Stand> {
    by_type(ask, false)
}

pub(super) fn fexit_for_kretprobe(ask: &Ask<'_>) -> Option<Stand> {
    by_type(ask, true)
}

fn by_type(ask: &Ask<'_>, at_return: bool) -> Option<Stand> {
    let Provider::Kprobe { function, module, ret, .. } = &ask.target.provider else { return None };
    if *ret != at_return {
        return None;
    }
    let proto = proto(ask);
    let sizes = proto.as_ref().map(|p| abi::sizes(ask.world, p)).unwrap_or_default();
    let slots = abi::slots(&sizes);
    let at = |param: usize, part: u32| Some(word(slots[param] + part, &proto.as_ref()?.params.get(param)?.ty));
    let registers = abi::registers(HOST, &sizes);
    // By register, and those that are in none by their places in the prototype.
    let in_registers = registers.iter().map(|register| register.and_then(|(param, part)| at(param, part)));
    let words: Words = in_registers.chain((0..sizes.len()).map(|param| at(param, 0))).collect();
    Some(Stand {
        provider: Provider::Fentry {
            function: function.clone(),
            module: module.clone().filter(|m| m != "vmlinux"),
            ret: at_return,
            bpf: None,
            slots: abi::total(&sizes),
        },
        prog: if at_return { ProgType::Fexit } else { ProgType::Fentry },
        words: Some(words),
        frames: TRAMPOLINE,
    })
}

pub(super) fn kprobe_for_fentry(ask: &Ask<'_>) -> Option<Stand> {
    by_breakpoint(ask, false)
}

pub(super) fn kretprobe_for_fexit(ask: &Ask<'_>) -> Option<Stand> {
    by_breakpoint(ask, true)
}

fn by_breakpoint(ask: &Ask<'_>, at_return: bool) -> Option<Stand> {
    let Provider::Fentry { function, module, ret, bpf: None, .. } = &ask.target.provider else { return None };
    if *ret != at_return {
        return None;
    }
    let proto = proto(ask)?;
    let sizes = abi::sizes(ask.world, &proto);
    let registers = abi::registers(HOST, &sizes);
    let mut words = Words::new();
    for (param, size) in sizes.iter().enumerate() {
        for part in 0..abi::words(*size) {
            let register = registers.iter().position(|r| *r == Some((param, part)));
            // A struct by value is not in one place.
            let whole = abi::words(*size) == 1 && !matches!(proto.params[param].ty, Ty::Struct(_));
            words.push(register.filter(|_| whole).map(|at| word(at as u32, &proto.params[param].ty)));
        }
    }
    Some(Stand {
        provider: Provider::Kprobe { function: function.clone(), module: module.clone(), offset: 0, ret: at_return },
        prog: ProgType::Kprobe,
        words: Some(words),
        frames: 0,
    })
}

/// An argument of a type. In registers numbers of less than 32 bits are extended to those, and those by zeros.
fn word(at: u32, ty: &Ty) -> Word {
    match ty {
        Ty::Int { bits, signed } if *bits < 32 => Word { at, bits: u32::from(*bits), signed: *signed },
        Ty::Int { bits, .. } => Word { at, bits: u32::from(*bits), signed: false },
        Ty::Bool => Word { at, bits: 8, signed: false },
        Ty::Enum { .. } => Word { at, bits: 32, signed: false },
        _ => Word { at, bits: 64, signed: false },
    }
}

fn function_of<'a>(ask: &Ask<'a>) -> Option<(&'a str, Option<&'a str>)> {
    match &ask.target.provider {
        Provider::Kprobe { function, module, .. } | Provider::Fentry { function, module, .. } => {
            Some((function, module.as_deref()))
        }
        _ => None,
    }
}

fn proto(ask: &Ask<'_>) -> Option<FnProto> {
    let (function, module) = function_of(ask)?;
    if function.is_empty() {
        return None;
    }
    let full = module.map_or_else(|| function.to_owned(), |m| format!("{m}:{function}"));
    ask.world.kernel_function(&full).found().flatten()
}

pub(super) fn is_one_function(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    match &ask.target.provider {
        Provider::Kprobe { function, .. } if function.is_empty() => Some("the probe is at an address".into()),
        Provider::Kprobe { offset: 1.., .. } => Some("the probe is within the function".into()),
        _ if ask.target.wildcard => Some("the functions of a pattern are attached together, by one link".into()),
        _ => None,
    }
}

pub(super) fn asks_no_registers(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    ask.uses.registers.map(|what| format!("the body asks for {what}, which only a kprobe has"))
}

pub(super) fn asks_no_kernel_stack(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    ask.uses.kernel_stack.then(|| "the body asks for the kernel's stack, which begins elsewhere there".into())
}

pub(super) fn asks_no_typed_pointer(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    ask.uses.typed_pointer.map(|what| format!("the body calls {what}, which takes pointers with types only"))
}

pub(super) fn has_types(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    let (function, _) = function_of(ask)?;
    proto(ask).is_none().then(|| format!("{function} has no type information (BTF)"))
}

/// Every argument that the body asks for is somewhere.
pub(super) fn has_its_arguments(ask: &Ask<'_>, stand: &Stand) -> Option<String> {
    let words = stand.words.as_ref()?;
    let missing = |n: &&u32| words.get(**n as usize).is_none_or(Option::is_none);
    let n = ask.uses.args.iter().find(missing)?;
    Some(match stand.provider {
        Provider::Fentry { .. } => format!("the function has no arg{n} of its own"),
        _ => "an argument is passed by value or on the stack".into(),
    })
}

pub(super) fn asks_no_arguments(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    (!ask.uses.args.is_empty()).then(|| "the body asks for arguments, which are gone when the function returns".into())
}

pub(super) fn returns_a_number(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    let returned = proto(ask)?.ret;
    match returned {
        Ty::Void if ask.uses.retval => {
            Some("the function returns nothing, so that retval is what was left in a register".into())
        }
        Ty::Struct(_) => Some("the function returns a struct by value".into()),
        _ => None,
    }
}
