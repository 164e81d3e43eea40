//! Reads the text form ([`super::display`]) back. Line by line: a declaration, a block's head, an instruction or a terminator.
//!
//! Values and blocks may carry any numbers; they are numbered anew in the order in which they stand. The result is not checked
//! beyond its syntax and names: [`super::verify`] does that.

mod lex;
mod line;
mod op;

use super::{Block, BlockData, Function, Inst, InstData, SpanId, Target, Term, Ty, Value, ValueData, ValueDef};
use line::Line;
use std::collections::HashMap;
use weftrace_artifact::Place;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// From 1.
    pub line: u32,
    pub message: String,
}

/// A function and where its parts stand in the text (lines from 1).
#[derive(Clone, Debug)]
pub struct Parsed {
    pub function: Function,
    /// Indexed by [`Inst`].
    pub inst_lines: Vec<u32>,
    /// Indexed by [`Block`]: the head, and the terminator.
    pub block_lines: Vec<(u32, u32)>,
}

/// The function that `text` holds.
pub fn parse(text: &str) -> Result<Function, ParseError> {
    parse_with_lines(text).map(|p| p.function)
}

/// As [`parse`], with line numbers for errors of later stages.
pub fn parse_with_lines(text: &str) -> Result<Parsed, ParseError> {
    let mut lines = vec![];
    for (number, line) in text.lines().enumerate() {
        let number = number as u32 + 1;
        let tokens = lex::tokens(line).map_err(|message| ParseError { line: number, message })?;
        if !tokens.is_empty() {
            lines.push((number, tokens));
        }
    }
    let mut parser = Parser::default();
    for (number, tokens) in &lines {
        parser.names(&mut Line::new(tokens)).map_err(|message| ParseError { line: *number, message })?;
    }
    let end = lines.last().map_or(1, |l| l.0);
    for (number, tokens) in &lines {
        parser.number = *number;
        parser.line(&mut Line::new(tokens)).map_err(|message| ParseError { line: *number, message })?;
    }
    parser.finish().map_err(|message| ParseError { line: end, message })
}

#[derive(Default)]
struct Parser {
    /// Number in the text → value or block, from the first pass.
    values: HashMap<u32, Value>,
    blocks: HashMap<u32, Block>,
    /// The line being read.
    number: u32,
    closed: bool,
    parsed: Option<Parsed>,
}

impl Parser {
    /// First pass: numbers what the line defines.
    fn names(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        if line.is_block_head() {
            let number = line.entity("block")?;
            let block = Block(self.blocks.len() as u32);
            if self.blocks.insert(number, block).is_some() {
                return Err(format!("block{number} is defined twice"));
            }
            while let Some(number) = line.next_param() {
                self.define(number?)?;
            }
        } else if let Some(number) = line.result() {
            self.define(number)?;
        }
        Ok(())
    }

    fn define(&mut self, number: u32) -> Result<(), String> {
        let value = Value(self.values.len() as u32);
        match self.values.insert(number, value) {
            Some(_) => Err(format!("v{number} is defined twice")),
            None => Ok(()),
        }
    }

    /// Second pass.
    fn line(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        if self.closed {
            return Err("text after the function's end".into());
        }
        if self.parsed.is_none() {
            self.head(line)?;
        } else if line.take('}') {
            self.closed = true;
        } else if line.is_block_head() {
            self.block_head(line)?;
        } else if self.parsed().function.blocks.is_empty() {
            line.declaration(&mut self.parsed().function)?;
        } else {
            self.statement(line)?;
        }
        line.end()
    }

    fn head(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        line.keyword("function")?;
        let name = String::from_utf8(line.string()?).map_err(|_| "the name is not UTF-8")?;
        let target = match line.word()? {
            "native" => Target::Native,
            "kernel" => Target::Kernel(line.named("program type")?),
            other => return Err(format!("`{other}` is neither `native` nor `kernel`")),
        };
        line.expect('{')?;
        let function = Function {
            name,
            target,
            slots: vec![],
            blocks: vec![],
            insts: vec![],
            values: vec![],
            data: vec![],
            paths: vec![],
            spans: vec![Place::default()],
        };
        self.parsed = Some(Parsed { function, inst_lines: vec![], block_lines: vec![] });
        Ok(())
    }

    fn parsed(&mut self) -> &mut Parsed {
        self.parsed.as_mut().expect("the head comes first")
    }

    fn block_head(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        let number = self.number;
        let parsed = self.parsed.as_mut().expect("the head comes first");
        let block = Block(parsed.function.blocks.len() as u32);
        let mut params = vec![];
        line.entity("block")?;
        if line.take('(') {
            loop {
                line.entity("v")?;
                line.expect(':')?;
                let ty: Ty = line.named("type")?;
                let value = Value(parsed.function.values.len() as u32);
                let def = ValueDef::Param(block, params.len() as u32);
                parsed.function.values.push(ValueData { ty, def });
                params.push(value);
                if !line.take(',') {
                    break;
                }
            }
            line.expect(')')?;
        }
        line.expect(':')?;
        parsed.function.blocks.push(BlockData { params, insts: vec![], term: Term::None, term_span: SpanId(0) });
        parsed.block_lines.push((number, number));
        Ok(())
    }

    fn statement(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        let number = self.number;
        let has_result = line.result().is_some();
        if has_result {
            line.entity("v")?;
            line.expect('=')?;
        }
        let scope = op::Scope { values: &self.values, blocks: &self.blocks };
        let statement = scope.statement(line)?;
        let span = line.span()?;
        let parsed = self.parsed.as_mut().expect("the head comes first");
        let function = &mut parsed.function;
        if span.index() >= function.spans.len() {
            return Err(format!("{span} is not declared"));
        }
        let inst = Inst(function.insts.len() as u32);
        let current = function.blocks.last_mut().expect("a block is open");
        if current.term != Term::None {
            return Err("the block has its terminator already".into());
        }
        match statement {
            op::Statement::Term(_) if has_result => return Err("a terminator has no result".into()),
            op::Statement::Term(term) => {
                current.term = term;
                current.term_span = span;
                parsed.block_lines.last_mut().expect("a block is open").1 = number;
            }
            op::Statement::Op(op) => {
                let wants = op.has_result();
                if wants != has_result {
                    return Err(format!("`{op}` has {} result", if wants { "a" } else { "no" }));
                }
                let result = has_result.then(|| {
                    function.values.push(ValueData { ty: Ty::I64, def: ValueDef::Inst(inst) });
                    Value(function.values.len() as u32 - 1)
                });
                current.insts.push(inst);
                function.insts.push(InstData { op, result, span });
                parsed.inst_lines.push(number);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Parsed, String> {
        let parsed = self.parsed.take().ok_or("no function")?;
        if !self.closed {
            return Err("the function's `}` is missing".into());
        }
        if parsed.function.blocks.is_empty() {
            return Err("the function has no block".into());
        }
        Ok(Parsed { function: with_types(parsed.function), ..parsed })
    }
}

/// Result types, which depend on operands that may stand later in the text: until nothing changes.
fn with_types(mut function: Function) -> Function {
    loop {
        let mut changed = false;
        for i in 0..function.insts.len() {
            let inst = &function.insts[i];
            let (Some(result), Some(ty)) = (inst.result, inst.op.result_type(&function)) else { continue };
            changed |= std::mem::replace(&mut function.values[result.index()].ty, ty) != ty;
        }
        if !changed {
            return function;
        }
    }
}

#[cfg(test)]
mod tests;
