//! What all messages of OTLP have: resource, scope, attributes. Messages and the numbers of their fields are those of github.com/open-telemetry/
//! opentelemetry-proto.

use weftrace_probes::telemetry::proto::Writer;

/// What all of a request is about: `service.name` and others.
pub(crate) type Resource = Vec<(&'static str, String)>;

/// Of any run.
pub(crate) fn weftrace() -> Resource {
    vec![("service.name", "weftrace".into())]
}

/// Export{Trace,Metrics,Logs}ServiceRequest: they look the same. Each item is a field of the scope already, or several.
pub(crate) fn request(resource: &Resource, items: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Writer::default();
    request.message(1, |group| {
        group.message(1, |to| {
            for (key, value) in resource {
                text(to, 1, key, value);
            }
        });
        group.message(2, |scoped| {
            scoped.message(1, |scope| {
                scope.text(1, "weftrace");
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for item in items {
                scoped.0.extend(item);
            }
        });
    });
    request.0
}

/// KeyValue
pub(crate) fn text(to: &mut Writer, field: u32, key: &str, value: &str) {
    to.message(field, |pair| {
        pair.text(1, key);
        pair.message(2, |any| any.text(1, value));
    });
}

pub(crate) fn int(to: &mut Writer, field: u32, key: &str, value: u64) {
    to.message(field, |pair| {
        pair.text(1, key);
        pair.message(2, |any| any.varint(3, value));
    });
}
