//! Helper calls, through the table that `env` points to.

use super::translate::{Translator, flags};
use crate::ir::{Arg, Helper, Value};
use cranelift::prelude::{AbiParam, InstBuilder, Signature, types};
use cranelift_codegen::ir as clif;
use cranelift_codegen::isa::CallConv;
use std::mem::offset_of;
use weftrace_artifact::map::MapId;
use weftrace_artifact::native::{HandlerEnv, NativeHelper};

impl Translator<'_, '_> {
    pub(super) fn call(&mut self, helper: Helper, map: Option<MapId>, args: &[Value]) -> Result<clif::Value, String> {
        if helper == Helper::KtimeBoot {
            return Ok(self.now());
        }
        let row = helper.row();
        let native = row.native.ok_or_else(|| format!("native code has no helper {}", row.name))?;
        let (mut given, mut values) = (args.iter(), vec![]);
        for arg in row.args {
            values.push(match (arg, map) {
                (Arg::Map, Some(map)) => self.iconst(i64::from(map.0)),
                (Arg::Map, None) => return Err(format!("{} lacks its map", row.name)),
                _ => self.value(*given.next().ok_or_else(|| format!("{} lacks an argument", row.name))?)?,
            });
        }
        let result = self.call_native(native, &values);
        // These give nothing back; in the IR that is 0.
        Ok(if matches!(helper, Helper::Comm | Helper::CountLoss) { self.iconst(0) } else { result })
    }

    /// Calls `helper` with `env` and `args`. The result means nothing for helpers that have none.
    pub(super) fn call_native(&mut self, helper: NativeHelper, args: &[clif::Value]) -> clif::Value {
        let signature = self.signature(args.len() + 1);
        let table = self.b.ins().load(types::I64, flags(), self.env, offset_of!(HandlerEnv, helpers) as i32);
        let function = self.b.ins().load(types::I64, flags(), table, helper as i32 * 8);
        let mut all = vec![self.env];
        all.extend_from_slice(args);
        let call = self.b.ins().call_indirect(signature, function, &all);
        self.b.inst_results(call)[0]
    }

    fn signature(&mut self, args: usize) -> clif::SigRef {
        if let Some(&known) = self.signatures.get(&args) {
            return known;
        }
        let mut signature = Signature::new(CallConv::SystemV);
        signature.params = vec![AbiParam::new(types::I64); args];
        signature.returns.push(AbiParam::new(types::I64));
        let new = self.b.import_signature(signature);
        self.signatures.insert(args, new);
        new
    }
}
