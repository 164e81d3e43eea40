//! Which devices a probe's text means: `eth0`, `any`, `veth*`, `eth0@blue`.

use super::error::SourceError;
use super::netns::{self, NetNs};
use crate::symbols::glob::{Glob, is_glob};

/// A device to capture from, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub device: String,
    /// None: where the caller is.
    pub netns: Option<NetNs>,
    /// As losses and errors name it.
    pub name: String,
}

impl Place {
    /// The devices of `DEVICE[@NETNS]`. `usual`: the namespace of those that name none. A pattern stands for the devices there are
    /// now.
    pub fn written(text: &str, usual: Option<&NetNs>) -> Result<Vec<Self>, SourceError> {
        let (device, namespace) = text.split_once('@').map_or((text, None), |(device, name)| (device, Some(name)));
        let netns = namespace.map(NetNs::written).or_else(|| usual.cloned());
        let place = |device: &str| Self {
            device: device.to_owned(),
            netns: netns.clone(),
            name: match namespace {
                Some(namespace) => format!("pcap:{device}@{namespace}"),
                None => format!("pcap:{device}"),
            },
        };
        if !is_glob(device) {
            return Ok(vec![place(device)]);
        }
        let there = match &netns {
            None => netns::devices(),
            Some(netns) => netns.run(netns::devices)?,
        };
        let glob = Glob::new(device);
        let found: Vec<Self> = there.iter().filter(|name| glob.matches(name)).map(|name| place(name)).collect();
        if found.is_empty() {
            return Err(SourceError::NoSuchDevice { name: device.to_owned(), there });
        }
        Ok(found)
    }
}
