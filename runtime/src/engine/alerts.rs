//! What blocks tell of alerts, to the alerts' engine and on to the sinks.

use super::{core::Core, joins::trace_of};
use crate::{
    alert::{Found, Notice, State, Told, clean, clean_value},
    decode,
    format::printf,
    join::show::{self, Shown},
    sink::Message,
    style::Style,
    text,
};
use std::rc::Rc;
use weftrace_artifact::{
    abi::RecordHeader,
    action::{Action, ActionKind, Piece},
    ty::Field,
};

impl Core {
    /// A group, as a block tells it.
    pub(super) fn alert(&mut self, header: RecordHeader, action: &Action, payload: &[u8]) {
        let ActionKind::Alert { alert, keys, message } = &action.kind else { return };
        if self.alerts.is_none() {
            return;
        }
        let Some((holds, rest)) = action.args.split_first() else { return };
        let holds = decode::member(holds, payload).first().is_some_and(|b| *b != 0);
        let (keys, said) = rest.split_at((*keys as usize).min(rest.len()));
        let open = self.options.open;
        let values: Vec<String> = keys.iter().map(|f| clean_value(&self.alert_value(f, payload), open)).collect();
        let message = match message {
            Some(pieces) if holds => clean(&self.alert_text(pieces, said, payload), open),
            _ => String::new(),
        };
        let key = values.join("\0").into_bytes();
        let told = Told { alert: *alert as usize, time: header.time, key, values, message, holds };
        let found = self.alerts.as_mut().and_then(|alerts| alerts.engine.told(told));
        self.alert_found(found.into_iter().collect());
    }

    /// All of an alert's groups have been told, at this time.
    pub(super) fn alert_looked(&mut self, time: u64, alert: u32) {
        let Some(alerts) = &mut self.alerts else { return };
        let found = alerts.engine.looked(alert as usize, time);
        self.alert_found(found);
    }

    fn alert_value(&mut self, field: &Field, payload: &[u8]) -> String {
        let artifact = Rc::clone(&self.artifact);
        let mut style = Style::of(&mut self.names, &artifact.options);
        let mut out = Vec::new();
        text::write_field(&mut out, field, payload, &mut style);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn alert_text(&mut self, pieces: &[Piece], args: &[Field], payload: &[u8]) -> String {
        let artifact = Rc::clone(&self.artifact);
        let mut style = Style::of(&mut self.names, &artifact.options);
        let mut out = Vec::new();
        printf(&mut out, pieces, args, payload, &mut style);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn alert_found(&mut self, found: Vec<Found>) {
        for found in found {
            let Some(notice) = self.notice(found) else { continue };
            if self.otlp.is_some() {
                let at_hand = self.at_hand.as_ref().filter(|_| notice.record.is_some());
                let trace = at_hand.and_then(|(_, result)| trace_of(result));
                if let Some(otlp) = &mut self.otlp {
                    otlp.alert(&notice, trace);
                }
            }
            let here = self.alerts.as_mut().is_some_and(|alerts| alerts.tell(&notice));
            if here {
                self.say(&Message::Alert { text: notice.line().as_bytes(), json: &notice.json() });
            }
        }
    }

    fn notice(&mut self, found: Found) -> Option<Notice> {
        let record = if found.state == State::Resolved { None } else { self.alert_record() };
        let spec = self.alerts.as_ref()?.specs.get(found.alert)?;
        let labels = Notice::labels(spec, &found.values);
        let message = if found.message.is_empty() {
            let keys: Vec<String> =
                spec.group.iter().zip(&found.values).map(|(name, value)| format!("{name}={value}")).collect();
            [keys.join(" "), spec.condition.clone()]
                .into_iter()
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join("  ")
        } else {
            found.message
        };
        Some(Notice {
            alert: found.alert,
            name: spec.name.clone(),
            state: found.state,
            labels,
            message,
            condition: spec.condition.clone(),
            since: self.names.wall(found.since),
            time: self.names.wall(found.time),
            untold: found.untold,
            record,
        })
    }

    /// The joined record at hand, redacted as it is for any output: as JSON, and in a line.
    fn alert_record(&mut self) -> Option<(String, String)> {
        let (join, result) = self.at_hand.take()?;
        let facts = self.facts(join, &result);
        let shown = Shown { result: &result, facts: &facts };
        let line = show::line::head(&shown);
        let (mut json, artifact) = (Vec::new(), Rc::clone(&self.artifact));
        show::json::write(&mut json, &shown, &mut Style::of(&mut self.names, &artifact.options));
        self.at_hand = Some((join, result));
        Some((String::from_utf8_lossy(&json).into_owned(), line))
    }

    /// What the sinks have to say.
    pub(super) fn tell_sinks(&mut self) {
        let said = self.alerts.as_mut().map(|alerts| alerts.take_said()).unwrap_or_default();
        for text in &said {
            self.warn(text);
        }
    }

    /// The end of all alerts.
    pub(super) fn finish_alerts(&mut self) {
        let said = self.alerts.as_mut().map(|alerts| alerts.finish()).unwrap_or_default();
        for text in &said {
            self.warn(text);
        }
    }
}
