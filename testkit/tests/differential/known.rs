//! Where the embedded broker answers differently, and why that is right or does no harm.

pub(crate) struct Difference {
    /// Scripts whose name starts so.
    pub(crate) script: &'static str,
    /// Commands that start so.
    pub(crate) command: &'static str,
    /// Why.
    #[allow(dead_code, reason = "for the reader")]
    pub(crate) reason: &'static str,
}

impl Difference {
    pub(crate) fn explains(&self, script: &str, command: &str) -> bool {
        script.starts_with(self.script) && command.starts_with(self.command)
    }
}

pub(crate) const DIFFERENCES: [Difference; 5] = [
    Difference {
        script: "commit in every version",
        command: "read t 0 0 committed",
        reason: "Kafka ends a fetch before the first end marker when it began at data; the markers come with the \
                 next fetch. The embedded broker gives all there is. A client must pass either.",
    },
    Difference { script: "abort in every version", command: "read t 0 0", reason: "End markers, as above." },
    Difference { script: "the second protocol commits", command: "read t 0 0", reason: "End markers, as above." },
    Difference { script: "a fenced producer", command: "read t 0 0", reason: "End markers, as above." },
    Difference { script: "two producers in one", command: "read t 0 0", reason: "End markers, as above." },
];
