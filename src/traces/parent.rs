//! What a span needs to know of the one it goes on from.

use std::fmt;
use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// A span that is recorded, in the form of W3C Trace Context version 00: 55 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
}

/// A text that is no recorded span of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00 that is sampled")]
pub struct NotATraceParent;

impl TraceParent {
    /// A span, if it is recorded: whoever goes on from it asks for no more than that.
    pub(super) fn of(span: &SpanContext) -> Option<Self> {
        (span.is_valid() && span.is_sampled()).then(|| Self { trace: span.trace_id(), span: span.span_id() })
    }

    pub(super) fn span_context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, true, TraceState::NONE)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let mut parts = text.split('-');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
        let [Some("00"), Some(trace), Some(span), Some(flags), None] = parts else { return Err(NotATraceParent) };
        let hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
        };
        if !(hex(trace, 32) && hex(span, 16) && hex(flags, 2)) {
            return Err(NotATraceParent);
        }
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        let trace = TraceId::from_hex(trace).map_err(|_| NotATraceParent)?;
        let span = SpanId::from_hex(span).map_err(|_| NotATraceParent)?;
        let known = trace != TraceId::INVALID && span != SpanId::INVALID;
        if sampled && known { Ok(Self { trace, span }) } else { Err(NotATraceParent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_is_written_and_nothing_else_is() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent: TraceParent = text.parse().unwrap();
        assert_eq!(parent.to_string(), text);
        assert_eq!(TraceParent::of(&parent.span_context()), Some(parent));
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(wrong.parse::<TraceParent>(), Err(NotATraceParent), "{wrong}");
        }
    }
}
