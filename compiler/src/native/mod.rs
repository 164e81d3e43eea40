//! Native handlers: IR to machine code by Cranelift, as a [`NativeImage`] that needs no relocation.
//!
//! A handler is `extern "C" fn(env: *mut HandlerEnv, subject: *const u8) -> u64`. Helpers are called through the table that `env`
//! points to; fills and copies are expanded inline, since a libcall would need a relocation. Handlers run on one thread
//! of order, never at the same time as each other: `atomic_add` is a plain load, add and store.
//!
//! Cranelift's own optimiser stays off: `opt` has done its work on the IR, and on handlers of this size it gains nothing measurable
//! but costs compile time.

mod arith;
mod call;
mod memory;
mod translate;

use crate::ir::{Function, Target, verify};
use cranelift::prelude::FunctionBuilderContext;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::{OwnedTargetIsa, lookup_by_name};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{CodegenError, Context};
use weftrace_artifact::native::{Entry, NativeImage};

/// The architecture that this program was built for, and so compiles handlers for.
pub const HOST_ARCH: &str = weftrace_arch::THIS.name;

/// Entries start at multiples of this.
const CODE_ALIGN: usize = 16;

/// Why there is no code. All but [`Error::Isa`] are errors of this compiler, not of a script.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no code generator for {HOST_ARCH}: {0}")]
    Isa(String),
    #[error(transparent)]
    Verify(#[from] verify::VerifyErrors),
    #[error("function {0:?} is not for native code")]
    Target(String),
    #[error("function {function:?}: {message}")]
    Codegen { function: String, message: String },
}

/// Code for `functions`, whose target must be [`Target::Native`]; entries in the same order.
pub fn compile(functions: &[Function]) -> Result<NativeImage, Error> {
    let mut compiler = Compiler::new()?;
    let mut image = NativeImage { arch: HOST_ARCH.into(), code: vec![], entries: vec![] };
    for function in functions {
        compiler.translate(function)?;
        let code = compiler.emit(function)?;
        image.code.resize(image.code.len().next_multiple_of(CODE_ALIGN), 0);
        image.entries.push(Entry { name: function.name.clone(), offset: image.code.len() as u32 });
        image.code.extend_from_slice(&code);
    }
    Ok(image)
}

/// `function` in Cranelift's text form, for `dump --stage clif`.
pub fn clif(function: &Function) -> Result<String, Error> {
    let mut compiler = Compiler::new()?;
    compiler.translate(function)?;
    Ok(compiler.context.func.display().to_string())
}

struct Compiler {
    isa: OwnedTargetIsa,
    context: Context,
    builder: FunctionBuilderContext,
}

impl Compiler {
    fn new() -> Result<Self, Error> {
        let mut flags = settings::builder();
        let settings = [
            ("opt_level", "none"),
            ("is_pic", "true"),
            ("enable_probestack", "false"),
            ("unwind_info", "false"),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
        ];
        for (name, value) in settings {
            flags.set(name, value).map_err(|e| Error::Isa(e.to_string()))?;
        }
        // The architecture's baseline: what is compiled here runs on every host of it.
        let isa = lookup_by_name(HOST_ARCH).map_err(|e| Error::Isa(e.to_string()))?;
        let isa = isa.finish(settings::Flags::new(flags)).map_err(|e| Error::Isa(e.to_string()))?;
        Ok(Self { isa, context: Context::new(), builder: FunctionBuilderContext::new() })
    }

    fn translate(&mut self, function: &Function) -> Result<(), Error> {
        if function.target != Target::Native {
            return Err(Error::Target(function.name.clone()));
        }
        verify::verify(function)?;
        self.context.clear();
        let message = |message| Error::Codegen { function: function.name.clone(), message };
        translate::translate(function, &mut self.context.func, &mut self.builder, &*self.isa).map_err(message)
    }

    fn emit(&mut self, function: &Function) -> Result<Vec<u8>, Error> {
        let error = |message| Error::Codegen { function: function.name.clone(), message };
        let compiled = self.context.compile(&*self.isa, &mut ControlPlane::default());
        let compiled = compiled.map_err(|e| error(message(&e.inner)))?;
        if !compiled.buffer.relocs().is_empty() {
            return Err(error("the code needs relocations".into()));
        }
        Ok(compiled.code_buffer().to_vec())
    }
}

fn message(error: &CodegenError) -> String {
    match error {
        CodegenError::Verifier(errors) => errors.to_string(),
        CodegenError::ImplLimitExceeded | CodegenError::CodeTooLarge => "the function is too large".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
