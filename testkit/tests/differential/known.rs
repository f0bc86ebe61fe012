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

pub(crate) const DIFFERENCES: [Difference; 20] = [
    Difference {
        script: "names that differ in dots",
        command: "topic a_b",
        reason: "Names that differ in `.` and `_` only share a metric's name, so Kafka refuses the second (17). \
                 The embedded broker has no such metrics and lets both be.",
    },
    Difference {
        script: "no key in a compacted topic",
        command: "",
        reason: "Both refuse a record without a key (87); Kafka names the log's start beside the error.",
    },
    Difference {
        script: "an empty partition",
        command: "ends t 0 -2",
        reason: "Kafka gives the current leader epoch for the start of a partition that holds nothing; the \
                 embedded broker knows none before the first batch.",
    },
    Difference {
        script: "a gap in the sequence",
        command: "send t 0 p=P seq=5",
        reason: "A refusal of Kafka names the log's start beside the error; no client reads it there.",
    },
    Difference {
        script: "a new epoch must start",
        command: "send t 0 p=P seq=2",
        reason: "The log's start beside an error, as above.",
    },
    Difference {
        script: "a duplicate older",
        command: "send t 0 p=P seq=0",
        reason: "The log's start beside an error, as above.",
    },
    Difference {
        script: "a sequence goes on",
        command: "send t 0 p=P txn=x seq=5",
        reason: "The log's start beside an error, as above.",
    },
    Difference {
        script: "an old epoch of an idempotent",
        command: "send t 0 p=P seq=1 epoch=-1",
        reason: "An id with epoch -1: Kafka calls the epoch wrong (47), the embedded broker the record (87).",
    },
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
    Difference {
        script: "write without a producer id",
        command: "",
        reason: "Kafka appends a transactional batch without a producer id as if it were plain; the embedded \
                 broker refuses it (49), because a client that sends one is broken.",
    },
    Difference {
        script: "heartbeats in every version",
        command: "beat empty",
        reason: "An empty group id is invalid for Kafka's heartbeats (24); the embedded broker knows no such \
                 member (25).",
    },
    Difference {
        script: "commits without a group",
        command: "commit empty",
        reason: "Kafka keeps commits of a group whose name is empty; the embedded broker refuses the name (24).",
    },
    Difference {
        script: "the state of groups",
        command: "group empty",
        reason: "The group with the empty name that Kafka made in `commits without a group`.",
    },
    Difference {
        script: "the state of a missing group",
        command: "group missing v=6",
        reason: "Kafka says `Dead` beside error 69; the embedded broker says nothing but the error.",
    },
    Difference {
        script: "a classic member in a consumer",
        command: "join g b",
        reason: "Kafka lets a classic member into a consumer group, to migrate (KIP-848); the embedded broker \
                 does not play migration (23).",
    },
    Difference {
        script: "a classic member in a consumer",
        command: "group g v=6",
        reason: "The state beside error 69, as above.",
    },
];
