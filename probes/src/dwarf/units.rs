//! The units of a file's debug information, and the ways from one to another: by address, by reference, to what was split off.

#![expect(
    clippy::arc_with_non_send_sync,
    reason = "gimli and addr2line want an Arc; a file's information stays in one thread"
)]

use super::DwarfError;
use super::limits::{self, Exceeded};
use super::sections::{Reader, Sections, is_debug, is_parameter_debug};
use crate::symbols::debug_file::in_stores;
use gimli::{AttributeValue, DebugInfoOffset, DebugTypeSignature, Dwarf, DwarfPackage, UnitOffset, UnitType};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

pub(super) type Value = AttributeValue<Reader>;
pub(super) type Entry = gimli::DebuggingInformationEntry<Reader>;

/// One unit, with the sections it is read from.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) dwarf: Arc<Dwarf<Reader>>,
    pub(super) unit: gimli::Unit<Reader>,
    /// Index into [`Units::stores`].
    store: usize,
    /// Names of the namespaces and classes around types, by the type's offset.
    pub(super) scopes: OnceCell<BTreeMap<usize, Rc<str>>>,
}

/// A place in the debug information.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) part: Rc<Part>,
    pub(super) offset: UnitOffset,
}

impl Node {
    pub(super) fn entry(&self) -> Option<Entry> {
        self.part.unit.entry(self.offset).ok()
    }

    /// A number for it that no other place of the same file has.
    pub(super) fn number(&self) -> (usize, usize) {
        let header = &self.part.unit.header;
        let start = match (header.debug_info_offset(), header.debug_types_offset()) {
            (Some(offset), _) => offset.0,
            (None, Some(offset)) => offset.0 | 1 << 63,
            (None, None) => 0,
        };
        (self.part.store, start.wrapping_add(self.offset.0))
    }
}

/// One file's units, in the order of their offsets.
#[derive(Debug, Default)]
struct Store {
    parts: Vec<Rc<Part>>,
    signatures: BTreeMap<u64, (usize, usize)>,
}

/// All units of a binary.
#[derive(Debug)]
pub(super) struct Units {
    /// The binary's own file, its supplementary file, then what was split off, as it is asked for.
    stores: OnceCell<RefCell<Vec<Rc<Store>>>>,
    /// The supplementary file.
    sup: Option<Sections>,
    pub(super) dwarf: Arc<Dwarf<Reader>>,
    /// Of all sections, with those that were opened since.
    bytes: Cell<u64>,
    /// A question was too much for it.
    spent: Cell<bool>,
    /// Address ranges of the units of the first store, sorted.
    ranges: OnceCell<Vec<(u64, u64, usize)>>,
    split: RefCell<BTreeMap<usize, Option<Rc<Part>>>>,
    package: OnceCell<Option<DwarfPackage<Reader>>>,
    /// The probed file: what was split off is beside it.
    binary: PathBuf,
    /// A split file that was not found.
    pub(super) missing: RefCell<Option<String>>,
}

/// More address ranges than any program has.
const MOST_RANGES: usize = 4 << 20;

fn load(sections: &Sections) -> Dwarf<Reader> {
    let loaded: Result<_, std::convert::Infallible> = Dwarf::load(|id| Ok(sections.reader(id.name())));
    match loaded {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}

fn store_of(dwarf: &Arc<Dwarf<Reader>>, index: usize) -> Store {
    let mut store = Store::default();
    let add = |store: &mut Store, header: gimli::UnitHeader<Reader>| {
        let kind = header.type_();
        // A unit that can't be read leaves the others.
        let Ok(unit) = dwarf.unit(header) else { return };
        if let UnitType::Type { type_signature, type_offset } | UnitType::SplitType { type_signature, type_offset } =
            kind
        {
            store.signatures.insert(type_signature.0, (store.parts.len(), type_offset.0));
        }
        store.parts.push(Rc::new(Part { dwarf: dwarf.clone(), unit, store: index, scopes: OnceCell::new() }));
    };
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        add(&mut store, header);
    }
    let mut headers = dwarf.type_units();
    while let Ok(Some(header)) = headers.next() {
        add(&mut store, header);
    }
    store
}

impl Units {
    /// `file`: where the sections are from; `binary`: the probed file.
    pub(super) fn new(sections: &Sections, file: &Path, binary: &Path) -> Result<Self, DwarfError> {
        let mut dwarf = load(sections);
        let repeated = gimli::AbbreviationsCacheStrategy::Duplicates;
        limits::within(sections.bytes(), || dwarf.populate_abbreviations_cache(repeated))
            .map_err(|why| DwarfError::Malformed(file.display().to_string(), why.to_string()))?;
        let sup = sections.alt_link.as_ref().and_then(|(name, id)| supplementary(file, name, id));
        if let Some(sup) = &sup {
            dwarf.set_sup(load(sup));
        }
        let bytes = sections.bytes() + sup.as_ref().map_or(0, Sections::bytes);
        Ok(Self {
            stores: OnceCell::new(),
            sup,
            dwarf: Arc::new(dwarf),
            bytes: Cell::new(bytes),
            spent: Cell::new(false),
            ranges: OnceCell::new(),
            split: RefCell::default(),
            package: OnceCell::new(),
            binary: binary.to_owned(),
            missing: RefCell::default(),
        })
    }

    /// Answers a question, at a cost that the size of the file bounds. A file that it was too much for once isn't asked again.
    pub(super) fn answer<T>(&self, ask: impl FnOnce() -> T) -> Result<T, Exceeded> {
        if self.spent.get() {
            return Err(Exceeded::Cost);
        }
        let answer = limits::within(self.bytes.get(), ask);
        self.spent.set(matches!(answer, Err(Exceeded::Cost)));
        answer
    }

    /// Sections that were opened for an answer count for this one and the next.
    fn opened(&self, sections: Sections) -> Sections {
        limits::opened(sections.bytes());
        self.bytes.set(self.bytes.get() + sections.bytes());
        sections
    }

    /// Made when they are first asked for: stacks only need them if something was split off.
    fn stores(&self) -> &RefCell<Vec<Rc<Store>>> {
        self.stores.get_or_init(|| {
            let own = store_of(&self.dwarf, 0);
            let sup = self.sup.as_ref().map_or_else(Store::default, |sup| store_of(&Arc::new(load(sup)), 1));
            RefCell::new(vec![Rc::new(own), Rc::new(sup)])
        })
    }

    /// How many units the binary itself has.
    pub(super) fn count(&self) -> usize {
        self.stores().borrow()[0].parts.len()
    }

    /// A unit as it is in the binary: line tables and ranges are there even if the rest was split off.
    pub(super) fn skeleton(&self, index: usize) -> Option<Rc<Part>> {
        self.stores().borrow()[0].parts.get(index).cloned()
    }

    /// A unit with its types and functions, wherever they are.
    pub(super) fn full(&self, index: usize) -> Option<Rc<Part>> {
        let skeleton = self.skeleton(index)?;
        let Some(id) = skeleton.unit.dwo_id else { return Some(skeleton) };
        if let Some(known) = self.split.borrow().get(&index) {
            return known.clone();
        }
        let found = self.split_unit(&skeleton, id);
        if found.is_none() {
            *self.missing.borrow_mut() = Some(Self::split_name(&skeleton));
        }
        self.split.borrow_mut().insert(index, found.clone());
        found
    }

    /// The units, the supplementary file's last.
    pub(super) fn all(&self) -> impl Iterator<Item = Rc<Part>> + '_ {
        let own = (0..self.count()).filter_map(|i| self.full(i));
        let shared = self.stores().borrow()[1].clone();
        own.chain(shared.parts.clone())
    }

    /// The unit whose code an address is in.
    pub(super) fn at(&self, address: u64) -> Option<usize> {
        let ranges = self.ranges.get_or_init(|| {
            let mut all = Vec::new();
            for i in 0..self.count() {
                let Some(part) = self.skeleton(i) else { continue };
                let Ok(mut ranges) = part.dwarf.unit_ranges(&part.unit) else { continue };
                while let Ok(Some(range)) = ranges.next() {
                    if range.begin < range.end && range.begin != 0 {
                        all.push((range.begin, range.end, i));
                    }
                    // Many units may name one long list.
                    if all.len() > MOST_RANGES {
                        limits::give_up(Exceeded::Cost);
                        return all;
                    }
                }
            }
            all.sort_unstable();
            all
        });
        let after = ranges.partition_point(|(begin, ..)| *begin <= address);
        // Ranges don't overlap in what compilers make; a few steps back cover what does.
        ranges[..after].iter().rev().take(16).find(|(_, end, _)| address < *end).map(|(.., unit)| *unit)
    }

    /// What an attribute refers to.
    pub(super) fn follow(&self, from: &Rc<Part>, value: &Value) -> Option<Node> {
        match value {
            Value::UnitRef(offset) => Some(Node { part: from.clone(), offset: *offset }),
            Value::DebugInfoRef(offset) => self.in_store(from.store, *offset),
            Value::DebugInfoRefSup(offset) => self.in_store(1, *offset),
            Value::DebugTypesRef(signature) => self.by_signature(from, *signature),
            _ => None,
        }
    }

    fn in_store(&self, store: usize, offset: DebugInfoOffset) -> Option<Node> {
        let store = self.stores().borrow().get(store)?.clone();
        let start = |part: &Rc<Part>| part.unit.header.debug_info_offset().map_or(usize::MAX, |o| o.0);
        let after = store.parts.partition_point(|p| start(p) <= offset.0);
        let part = store.parts.get(after.checked_sub(1)?)?;
        Some(Node { offset: offset.to_unit_offset(&part.unit.header)?, part: part.clone() })
    }

    fn by_signature(&self, from: &Rc<Part>, signature: DebugTypeSignature) -> Option<Node> {
        let stores: Vec<Rc<Store>> = self.stores().borrow().clone();
        let near = stores.get(from.store).into_iter().chain(&stores);
        for store in near {
            if let Some((index, offset)) = store.signatures.get(&signature.0) {
                return Some(Node { part: store.parts.get(*index)?.clone(), offset: UnitOffset(*offset) });
            }
        }
        let dwarf = self.package()?.find_tu(signature, &self.dwarf).ok()??;
        let store = self.keep(&Arc::new(dwarf));
        let (index, offset) = store.signatures.get(&signature.0)?;
        Some(Node { part: store.parts.get(*index)?.clone(), offset: UnitOffset(*offset) })
    }

    /// Adds the units of a file.
    fn keep(&self, dwarf: &Arc<Dwarf<Reader>>) -> Rc<Store> {
        let index = self.stores().borrow().len();
        let store = Rc::new(store_of(dwarf, index));
        self.stores().borrow_mut().push(store.clone());
        store
    }

    fn split_unit(&self, skeleton: &Rc<Part>, id: gimli::DwoId) -> Option<Rc<Part>> {
        let dwarf = self.split_dwarf(id, skeleton.unit.comp_dir.as_ref(), Self::split_path(skeleton).as_deref())?;
        let store = self.keep(&dwarf);
        let same = |p: &&Rc<Part>| p.unit.dwo_id == Some(id);
        let part = store.parts.iter().find(same).or_else(|| store.parts.first().filter(|_| store.parts.len() == 1))?;
        // Its addresses are in the skeleton's tables.
        let mut unit = part.dwarf.unit(part.unit.header.clone()).ok()?;
        unit.copy_relocated_attributes(&skeleton.unit);
        Some(Rc::new(Part { dwarf: part.dwarf.clone(), unit, store: part.store, scopes: OnceCell::new() }))
    }

    /// The sections of what was split off from a unit: from the package beside the binary, or the file that the unit names.
    pub(super) fn split_dwarf(
        &self,
        id: gimli::DwoId,
        directory: Option<&Reader>,
        name: Option<&str>,
    ) -> Option<Arc<Dwarf<Reader>>> {
        if let Some(package) = self.package()
            && let Ok(Some(dwarf)) = package.find_cu(id, &self.dwarf)
        {
            return Some(Arc::new(dwarf));
        }
        let name = name?;
        let directory = directory.and_then(text).unwrap_or_default();
        let beside = self.binary.parent().unwrap_or(Path::new(""));
        let places = [
            Path::new(&directory).join(name),
            beside.join(name),
            beside.join(Path::new(name).file_name().unwrap_or_default()),
        ];
        places.iter().filter(|p| crate::privilege::is_file(p)).find_map(|path| {
            let sections = self.opened(Sections::read(path, is_parameter_debug).ok()?);
            let loaded: Result<Dwarf<Reader>, std::convert::Infallible> =
                Dwarf::load(|id| Ok(sections.reader(id.dwo_name().unwrap_or(""))));
            let mut dwarf = loaded.ok()?;
            dwarf.make_dwo(&self.dwarf);
            // An older or newer build's is worse than none.
            let mut headers = dwarf.units();
            while let Ok(Some(header)) = headers.next() {
                if dwarf.unit(header).is_ok_and(|unit| unit.dwo_id == Some(id)) {
                    return Some(Arc::new(dwarf));
                }
            }
            None
        })
    }

    fn split_path(skeleton: &Part) -> Option<String> {
        let name = skeleton.unit.dwo_name().ok()??;
        text(&skeleton.dwarf.attr_string(&skeleton.unit, name).ok()?)
    }

    fn split_name(skeleton: &Part) -> String {
        Self::split_path(skeleton).unwrap_or_else(|| "its .dwo file".into())
    }

    /// `BINARY.dwp`
    fn package(&self) -> Option<&DwarfPackage<Reader>> {
        let open = || {
            let mut path = self.binary.clone().into_os_string();
            path.push(".dwp");
            let sections = self.opened(Sections::read(Path::new(&path), |name| name.starts_with(".debug_")).ok()?);
            let empty = sections.reader("");
            DwarfPackage::load(|id| Ok::<_, gimli::Error>(sections.reader(id.dwo_name().unwrap_or(id.name()))), empty)
                .ok()
        };
        self.package.get_or_init(open).as_ref()
    }
}

/// What `.gnu_debugaltlink` names: a file of types that several binaries share (dwz).
fn supplementary(file: &Path, name: &str, id: &[u8]) -> Option<Sections> {
    let beside = |file: &Path| file.parent().unwrap_or(Path::new("")).to_owned();
    // The name is relative to the debug file itself, to which what is below .build-id may be a link.
    let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut places = vec![beside(file).join(name), beside(&real).join(name)];
    let root = root_of(file);
    places.extend(name.strip_prefix('/').map(|name| root.join(name)));
    places.extend(in_stores(root, id));
    places
        .iter()
        .filter(|p| crate::privilege::is_file(p))
        .find_map(|p| Sections::read(p, is_debug).ok().filter(|s| s.build_id == id))
}

/// `/proc/PID/root` of a file in another process's view of the file system, else `/`.
fn root_of(file: &Path) -> &Path {
    let mut ancestors: Vec<&Path> = file.ancestors().collect();
    ancestors.reverse();
    let root = ancestors.get(3).filter(|dir| file.starts_with("/proc") && dir.ends_with("root"));
    root.copied().unwrap_or(Path::new("/"))
}

/// Bytes of a string section as text.
pub(super) fn text(reader: &Reader) -> Option<String> {
    use gimli::Reader as _;
    reader.to_string_lossy().ok().map(std::borrow::Cow::into_owned)
}

impl From<gimli::Error> for DwarfError {
    fn from(error: gimli::Error) -> Self {
        Self::Malformed("debug information".into(), error.to_string())
    }
}
