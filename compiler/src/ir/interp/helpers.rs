//! Helper calls. `super::super::helpers` lists arguments and results.

use super::host::{Host, copy_str, errno};
use super::memory::Object;
use super::{InterpError, Machine, Val};
use crate::ir::{Helper, Value};
use std::collections::BTreeMap;
use weftrace_artifact::{headers, map::MapId};

impl Machine<'_> {
    pub(super) fn call(&mut self, helper: Helper, map: Option<MapId>, args: &[Value]) -> Result<u64, InterpError> {
        let host = &mut *self.host;
        Ok(match helper {
            Helper::KtimeBoot => host.now,
            Helper::KtimeMono => host.clock(1),
            Helper::KtimeTai => host.clock(11),
            Helper::PidTgid => host.pid_tgid,
            Helper::UidGid => host.uid_gid,
            Helper::Cpu => host.cpu.into(),
            Helper::Random => host.random(),
            Helper::CurrentTask => host.current_task,
            Helper::CgroupId => host.cgroup_id,
            Helper::ProbeIndex => host.probe.into(),
            Helper::FuncIp => host.func_ip,
            Helper::StackId => host.stack_id as u64,
            Helper::CurrentTaskBtf => host.current_task,
            Helper::TaskRegisters => host.task_registers,
            Helper::Jiffies => host.jiffies,
            Helper::NumaId => host.numa_id,
            Helper::Interrupted => host.interrupted,
            Helper::MapUpdate | Helper::MapDelete | Helper::MapLen | Helper::MapAt | Helper::MapCpu => {
                let map = map.ok_or(InterpError::Malformed("a map is missing"))?.0;
                self.call_map(helper, map, args)?
            }
            // Nobody wants examples.
            Helper::Observe => 0,
            _ => self.call_with_memory(helper, args)?,
        })
    }

    fn call_map(&mut self, helper: Helper, map: u32, args: &[Value]) -> Result<u64, InterpError> {
        let (key_size, value_size) = (self.map(map)?.key_size().into(), self.map(map)?.value_size().into());
        if helper == Helper::MapLen {
            return Ok(self.map(map)?.len() as u64);
        }
        if helper == Helper::MapAt {
            return self.map_at(map, args);
        }
        if helper == Helper::MapCpu {
            return self.map_cpu(map, args, key_size);
        }
        let key = self.read(arg(args, 0)?, 0, key_size)?;
        let result = if helper == Helper::MapDelete {
            self.map(map)?.delete(&key)
        } else {
            let value = self.read(arg(args, 1)?, 0, value_size)?;
            let flags = self.int_arg(args, 2)?;
            self.map(map)?.update(&key, &value, flags)
        };
        Ok(result as u64)
    }

    /// (index, key, value): without a snapshot, so loops that add or delete elements see it.
    fn map_at(&mut self, map: u32, args: &[Value]) -> Result<u64, InterpError> {
        let index = self.int_arg(args, 0)? as usize;
        let found = self.map(map)?.entries().nth(index).map(|(k, v)| (k.to_vec(), v.to_vec()));
        let Some((key, value)) = found else { return Ok(0) };
        self.write(arg(args, 1)?, 0, &key)?;
        self.write(arg(args, 2)?, 0, &value)?;
        Ok(1)
    }

    /// (cpu, key, dst): there is one CPU.
    fn map_cpu(&mut self, map: u32, args: &[Value], key_size: i64) -> Result<u64, InterpError> {
        let key = self.read(arg(args, 1)?, 0, key_size)?;
        if self.int_arg(args, 0)? != 0 {
            return Ok(0);
        }
        let found = self.map(map)?.entries().find(|(k, _)| *k == key).map(|(_, v)| v.to_vec());
        let Some(value) = found else { return Ok(0) };
        self.write(arg(args, 2)?, 0, &value)?;
        Ok(1)
    }

    #[expect(clippy::too_many_lines, reason = "a table: one arm per helper")]
    fn call_with_memory(&mut self, helper: Helper, args: &[Value]) -> Result<u64, InterpError> {
        match helper {
            Helper::SocketCookie => {
                let socket = self.int_arg(args, 0)?;
                Ok(self.host.cookies.get(&socket).copied().unwrap_or(0))
            }
            Helper::DPath => self.d_path(args),
            Helper::SkbLoad => {
                let (at, len) = (self.int_arg(args, 1)? as u32 as usize, self.length(args, 3)?);
                let found = self.host.packet.get(at..at + len).map(<[u8]>::to_vec);
                let result = if found.is_some() { 0 } else { errno::EFAULT as u64 };
                self.write(arg(args, 2)?, 0, &found.unwrap_or_else(|| vec![0; len]))?;
                Ok(result)
            }
            Helper::ReadTyped => {
                let (base, offset, len) = (self.int_arg(args, 0)?, self.int_arg(args, 1)?, self.length(args, 2)?);
                let found = Host::peek(&self.host.kernel, base.wrapping_add(offset), len);
                Ok(found.map_or(0, |bytes| bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))))
            }
            Helper::GetStack => {
                let (dst, room) = (arg(args, 1)?, self.length(args, 2)?);
                let bytes: Vec<u8> = self.host.stack.iter().take(room / 8).flat_map(|f| f.to_le_bytes()).collect();
                // The kernel fills the buffer.
                self.touch(dst, room as i64)?;
                self.write(dst, 0, &vec![0; room])?;
                self.write(dst, 0, &bytes)?;
                Ok(bytes.len() as u64)
            }
            Helper::CountLoss => {
                let slot = self.int_arg(args, 0)?;
                self.host.count_loss(slot);
                Ok(0)
            }
            Helper::ClockGettime => self.int_arg(args, 0).map(|id| self.host.clock(id)),
            Helper::Comm | Helper::TaskComm => {
                let comm = self.host.comm(self.length(args, 1)?);
                self.write(arg(args, 0)?, 0, &comm)?;
                Ok(0)
            }
            Helper::PacketConn => match self.host.conn {
                Some(conn) => self.write(arg(args, 2)?, 0, &conn).map(|()| 1),
                None => self.touch(arg(args, 2)?, i64::from(weftrace_artifact::abi::CONN_KEY_SIZE)).map(|()| 0),
            },
            Helper::PacketBytes => {
                let size = weftrace_artifact::abi::BYTES_KEY_SIZE;
                self.touch(arg(args, 2)?, i64::from(size))?;
                self.write(arg(args, 2)?, 0, &vec![0; size as usize]).map(|()| 0)
            }
            Helper::CopyStr => {
                let src = self.read(arg(args, 2)?, 0, self.length(args, 3)? as i64)?;
                let (bytes, len) = copy_str(self.length(args, 1)?, &src);
                self.write(arg(args, 0)?, 0, &bytes)?;
                Ok(len as u64)
            }
            Helper::CopyHeaders => {
                let packed = self.read(arg(args, 2)?, 0, self.length(args, 3)? as i64)?;
                let names = self.read(arg(args, 4)?, 0, self.length(args, 5)? as i64)?;
                let mut out = vec![0; self.length(args, 1)?];
                let lost = headers::copy(&mut out, &packed, &names);
                self.write(arg(args, 0)?, 0, &out)?;
                Ok(lost)
            }
            Helper::HeaderGet => self.header_get(args),
            Helper::NsPidTgid => self.ns_pid_tgid(args),
            Helper::SendSignal | Helper::SendSignalThread => {
                let number = self.int_arg(args, 0)?;
                self.host.signals.push((number, helper == Helper::SendSignalThread));
                Ok(if (1..=64).contains(&number) { 0 } else { errno::EINVAL as u64 })
            }
            Helper::TaskFromPid => {
                let task = self.int_arg(args, 0)?;
                let found = self.host.tasks.get(&task).copied().unwrap_or(0);
                self.host.held_tasks += i64::from(found != 0);
                Ok(found)
            }
            Helper::CastTyped => self.int_arg(args, 0),
            Helper::TaskRelease => {
                self.host.held_tasks -= 1;
                Ok(0)
            }
            Helper::OverrideReturn => {
                self.host.overridden = Some(self.int_arg(args, 1)?);
                Ok(0)
            }
            Helper::WriteUser => {
                let (address, len) = (self.int_arg(args, 0)?, self.length(args, 2)?);
                let bytes = self.read(arg(args, 1)?, 0, len as i64)?;
                Ok(self.host.poke_user(address, &bytes) as u64)
            }
            _ => self.probe_read(helper, args),
        }
    }

    /// As fs/d_path.c does it: from the end of the buffer backwards; then what there is goes to the front.
    fn d_path(&mut self, args: &[Value]) -> Result<u64, InterpError> {
        let (dst, room) = (arg(args, 1)?, self.length(args, 2)?);
        self.touch(dst, room as i64)?;
        let Some(mut path) = self.host.paths.get(&self.int_arg(args, 0)?).cloned() else {
            return Ok(errno::EFAULT as u64);
        };
        path.push(0);
        let fits = path.len() <= room;
        let kept = &path[path.len().saturating_sub(room)..];
        self.write(dst, 0, kept)?;
        Ok(if fits { path.len() as u64 } else { errno::ENAMETOOLONG as u64 })
    }

    fn ns_pid_tgid(&mut self, args: &[Value]) -> Result<u64, InterpError> {
        let asked = (self.int_arg(args, 0)?, self.int_arg(args, 1)?);
        let len = self.length(args, 3)?;
        match self.host.pid_namespace {
            Some((namespace, both)) if namespace == asked && len == 8 => {
                // struct bpf_pidns_info: the thread's number first
                self.write(arg(args, 2)?, 0, &both.to_ne_bytes())?;
                Ok(0)
            }
            _ => {
                self.write(arg(args, 2)?, 0, &vec![0; len])?;
                Ok(errno::EINVAL as u64)
            }
        }
    }

    fn header_get(&mut self, args: &[Value]) -> Result<u64, InterpError> {
        let packed = self.read(arg(args, 0)?, 0, self.length(args, 1)? as i64)?;
        let name = self.read(arg(args, 2)?, 0, self.length(args, 3)? as i64)?;
        let (dst, capacity) = (arg(args, 4)?, self.length(args, 5)?);
        match headers::find(&packed, &name) {
            Some(value) => {
                let (bytes, len) = copy_str(capacity, value);
                self.write(dst, 0, &bytes)?;
                Ok(len as u64)
            }
            None => self.touch(dst, capacity as i64).map(|()| u64::MAX),
        }
    }

    /// read_{kernel,user}{,_str}: (dst, length, address). On failure dst is zeroed; a shorter string leaves the rest as it was.
    fn probe_read(&mut self, helper: Helper, args: &[Value]) -> Result<u64, InterpError> {
        let (dst, len, source) = (arg(args, 0)?, self.length(args, 1)?, arg(args, 2)?);
        // The context is kernel memory too, and so is the program's own.
        let context;
        let (address, memory) = if let Val::Ptr(object, offset) = self.get(source)? {
            if matches!(object, Object::Ctx) {
                context = BTreeMap::from([(0, self.host.ctx.clone())]);
                (offset as u64, &context)
            } else {
                context = BTreeMap::from([(0, self.read(source, 0, len as i64)?)]);
                (0, &context)
            }
        } else {
            let address = self.int(source)?;
            match self.peek_own(address, len) {
                Some(bytes) => {
                    context = BTreeMap::from([(address, bytes)]);
                    (address, &context)
                }
                None => (address, self.read_space(helper)?),
            }
        };
        let is_str = matches!(helper, Helper::ReadKernelStr | Helper::ReadUserStr);
        let found = if is_str { Host::peek_str(memory, address, len) } else { Host::peek(memory, address, len) };
        self.touch(dst, len as i64)?;
        let Some(bytes) = found else {
            self.write(dst, 0, &vec![0; len])?;
            return Ok(errno::EFAULT as u64);
        };
        self.write(dst, 0, &bytes)?;
        Ok(if is_str { bytes.len() as u64 } else { 0 })
    }

    fn read_space(&self, helper: Helper) -> Result<&BTreeMap<u64, Vec<u8>>, InterpError> {
        match helper {
            Helper::ReadKernel | Helper::ReadKernelStr => Ok(&self.host.kernel),
            Helper::ReadUser | Helper::ReadUserStr => Ok(&self.host.user),
            _ => Err(InterpError::Malformed("an unknown helper")),
        }
    }

    fn int_arg(&self, args: &[Value], index: usize) -> Result<u64, InterpError> {
        self.int(arg(args, index)?)
    }

    /// A length; no object has more than a mebibyte.
    fn length(&self, args: &[Value], index: usize) -> Result<usize, InterpError> {
        let len = self.int_arg(args, index)?;
        if len > 1 << 20 { Err(InterpError::Malformed("a length over 2^20")) } else { Ok(len as usize) }
    }
}

fn arg(args: &[Value], index: usize) -> Result<Value, InterpError> {
    args.get(index).copied().ok_or(InterpError::Malformed("an argument is missing"))
}
