//! Reading settings by Kafka's names: values, ranges, and what was meant by a name that does not exist.
use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, Result};

/// A setting that is a number, and the least and the greatest it may be.
pub(crate) type Number = (&'static str, i64, i64);

/// The largest value of Kafka's type `INT`.
pub(crate) const INT: i64 = i32::MAX as i64;
/// The largest value of Kafka's type `LONG`.
pub(crate) const LONG: i64 = i64::MAX;

/// One line of a properties file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Property<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    numbers: &'static [Number],
}

impl<'a> Property<'a> {
    pub(crate) fn new(key: &'a str, value: &'a str, numbers: &'static [Number]) -> Self {
        Self { key, value: value.trim(), numbers }
    }

    pub(crate) fn invalid(&self, range: impl Into<String>) -> Error {
        Error::config(self.key, self.value, range)
    }

    fn number(&self) -> Result<i64> {
        let (least, most) = range_of(self.numbers, self.key);
        let number = self.value.parse().ok().filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| self.invalid(in_words(least, most)))
    }

    pub(crate) fn integer<T: TryFrom<i64>>(&self) -> Result<T> {
        let (least, most) = range_of(self.numbers, self.key);
        T::try_from(self.number()?).map_err(|_| self.invalid(in_words(least, most)))
    }

    pub(crate) fn millis(&self) -> Result<Duration> {
        Ok(Duration::from_millis(self.integer()?))
    }

    /// -1 is none.
    pub(crate) fn unless_minus_one<T: TryFrom<i64>>(&self) -> Result<Option<T>> {
        if self.number()? == -1 { Ok(None) } else { self.integer().map(Some) }
    }

    pub(crate) fn boolean(&self) -> Result<bool> {
        self.one_of(&[("true", true), ("false", false)])
    }

    /// One of these words, in any case.
    pub(crate) fn one_of<T: Clone>(&self, words: &[(&str, T)]) -> Result<T> {
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(self.value));
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.invalid(format!("it must be one of {}", words.join(", ")))
        })
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.value.split(',').map(str::trim).filter(|item| !item.is_empty())
    }

    pub(crate) fn text(&self) -> String {
        self.value.to_owned()
    }
}

fn range_of(numbers: &[Number], key: &str) -> (i64, i64) {
    numbers.iter().find(|(known, _, _)| *known == key).map_or((0, LONG), |(_, least, most)| (*least, *most))
}

fn in_words(least: i64, most: i64) -> String {
    let never = if least == -1 { " (-1: none)" } else { "" };
    match most {
        LONG => format!("it must be a number, at least {least}{never}"),
        _ => format!("it must be a number from {least} to {most}{never}"),
    }
}

/// Checks a number that was set in code.
pub(crate) fn check(numbers: &[Number], key: &str, value: impl TryInto<i64> + Display + Copy) -> Result<()> {
    let (least, most) = range_of(numbers, key);
    match value.try_into() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(Error::config(key, value, in_words(least, most))),
    }
}

/// Says once, when a client, producer or consumer is made, that a setting was taken otherwise than it was given.
pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Which settings a file gives: one that it gives as its default counts as given, where in code that cannot be told. It is no
/// setting itself, and makes no difference between two of them.
#[derive(Clone, Default)]
pub(crate) struct Given(Vec<&'static str>);

impl Given {
    /// The file gives this one.
    pub(crate) fn add(&mut self, known: &Known, key: &str) {
        self.0.extend(known.keys.iter().find(|known| **known == key));
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains(&key)
    }
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl PartialEq for Given {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Given {}

/// The keys of a kind of setting, and who has them.
pub(crate) struct Known {
    pub(crate) owner: &'static str,
    pub(crate) keys: &'static [&'static str],
}

const CLASSES: &str = "it is for classes of the Java client: leave it out";
const LOGIN: &str = "it is for classes of the Java client: leave it out, and implement TokenProvider in code \
                     (SaslConfig::token_provider), which gets tokens in a way and a time of its own";
const JAVA_TLS: &str = "it is for TLS of the Java client: leave it out";

/// Settings of the Java client alone, and what to do instead. A final dot stands for all that begin so.
const JAVA_ONLY: [(&str, &str); 27] = [
    ("key.serializer", CLASSES),
    ("value.serializer", CLASSES),
    ("key.deserializer", CLASSES),
    ("value.deserializer", CLASSES),
    ("interceptor.classes", CLASSES),
    ("metric.reporters", CLASSES),
    ("metrics.num.samples", CLASSES),
    ("metrics.recording.level", CLASSES),
    ("metrics.sample.window.ms", CLASSES),
    ("auto.include.jmx.reporter", CLASSES),
    ("security.providers", CLASSES),
    ("config.providers", CLASSES),
    ("config.providers.", CLASSES),
    ("sasl.login.class", LOGIN),
    ("sasl.login.callback.handler.class", LOGIN),
    ("sasl.login.connect.timeout.ms", LOGIN),
    ("sasl.login.read.timeout.ms", LOGIN),
    ("sasl.oauthbearer.", LOGIN),
    (
        "sasl.client.callback.handler.class",
        "it is for classes of the Java client: leave it out; a mechanism of your own is SaslMechanism::Custom, in code",
    ),
    // The service's name is a setting of ours too.
    (
        "sasl.kerberos.",
        "Kerberos is not built in: leave it out; a mechanism of your own is SaslMechanism::Custom, in code",
    ),
    (
        "ssl.protocol",
        "it is for TLS of the Java client: leave it out; ssl.enabled.protocols says which versions may be used",
    ),
    (
        "ssl.provider",
        "it is for TLS of the Java client: leave it out; who does the cryptography is a feature of this crate (tls-ring, \
         tls-aws-lc-rs, tls-graviola)",
    ),
    (
        "ssl.cipher.suites",
        "it is for TLS of the Java client: leave it out; the suites are rustls' own, of which none is weak",
    ),
    ("ssl.keymanager.algorithm", JAVA_TLS),
    ("ssl.trustmanager.algorithm", JAVA_TLS),
    ("ssl.secure.random.implementation", JAVA_TLS),
    ("ssl.engine.factory.class", JAVA_TLS),
];

/// What to say of a key that is not `mine`: it belongs to another config, to Java, or was misspelt.
pub(crate) fn unknown(property: Property<'_>, mine: &Known, others: &[&Known]) -> Error {
    let key = property.key;
    // It may be a secret under a misspelt name: the value is left out.
    let error = |range: String| Error::config(key, "…", range);
    if let Some(other) = others.iter().find(|other| other.keys.contains(&key)) {
        return error(format!("it is a setting of {}, not of {}", other.owner, mine.owner));
    }
    let is_it = |java: &str| key == java || java.ends_with('.') && key.starts_with(java);
    if let Some((_, instead)) = JAVA_ONLY.iter().find(|(java, _)| is_it(java)) {
        return error((*instead).to_owned());
    }
    let all = std::iter::once(mine).chain(others.iter().copied()).flat_map(|known| known.keys.iter().copied());
    let nearest = all.map(|known| (distance(known, key), known)).min();
    error(match nearest {
        Some((distance, known)) if distance <= 2 + known.len() / 4 => {
            format!("there is no such setting; did you mean {known}?")
        }
        _ => format!("there is no such setting in {}", mine.owner),
    })
}

/// The Levenshtein distance; `_` and `-` are as good as `.`, and the case does not count.
fn distance(known: &str, given: &str) -> usize {
    let plain = |c: u8| if c == b'_' || c == b'-' { b'.' } else { c.to_ascii_lowercase() };
    let given: Vec<u8> = given.bytes().take(200).map(plain).collect();
    let mut row: Vec<usize> = (0..=given.len()).collect();
    for (i, k) in known.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, g) in given.iter().enumerate() {
            let replaced = diagonal + usize::from(k != *g);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[given.len()]
}

/// An ISO 8601 duration of days and smaller, as `java.time.Duration` reads it: `P1DT2H3M4.5S`. Negative ones are none.
pub(crate) fn iso_duration(text: &str) -> Option<Duration> {
    let upper = text.to_ascii_uppercase();
    let rest = upper.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    let mut add = |part: &mut &str, unit: char, seconds: u64| -> Option<()> {
        let Some((number, rest)) = part.split_once(unit) else { return Some(()) };
        *part = rest;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
            return None;
        }
        if !fraction.is_empty() && unit != 'S' {
            return None;
        }
        let nanos: u32 = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
        total = total.checked_add(Duration::new(whole.parse::<u64>().ok()?.checked_mul(seconds)?, nanos))?;
        Some(())
    };
    let (mut date, mut time) = (date, time);
    add(&mut date, 'D', 86_400)?;
    add(&mut time, 'H', 3_600)?;
    add(&mut time, 'M', 60)?;
    add(&mut time, 'S', 1)?;
    (date.is_empty() && time.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_reads_them() {
        let rows = [
            ("PT0S", Some(0)),
            ("PT1.5S", Some(1_500)),
            ("pt1h", Some(3_600_000)),
            ("P1D", Some(86_400_000)),
            ("P1DT2H3M4.005S", Some(93_784_005)),
            ("P", None),
            ("PT", None),
            ("P1DT", None),
            ("PT-1S", None),
            ("-PT1S", None),
            ("PT1.5H", None),
            ("PT1M1H", None),
            ("P1Y", None),
            ("PT1", None),
            ("1h", None),
            ("P99999999999999999999D", None),
            ("P9999999999999999D", None),
        ];
        for (text, millis) in rows {
            assert_eq!(iso_duration(text).map(|d| d.as_millis()), millis, "{text}");
        }
    }

    #[test]
    fn a_key_is_nearest_to_what_was_meant() {
        assert_eq!(distance("linger.ms", "linger_ms"), 0);
        assert_eq!(distance("linger.ms", "LINGER.MS"), 0);
        assert_eq!(distance("batch.size", "batch.sizes"), 1);
        assert_eq!(distance("acks", ""), 4);
    }
}
