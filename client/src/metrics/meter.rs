//! What numbers are counted with. Each is read by who asks for metrics, and with the feature `metrics` told to the
//! facade's recorder as well.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a number is of, as the facade's labels: `client-id` and the like.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

#[cfg(feature = "metrics")]
fn facade(labels: Labels<'_>) -> Vec<metrics::Label> {
    labels.iter().map(|(key, value)| metrics::Label::new(*key, (*value).to_owned())).collect()
}

/// A number that grows.
#[derive(Debug)]
pub(crate) struct Counter {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    facade: metrics::Counter,
}

impl Counter {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are the facade's"))]
    pub(crate) fn new(name: &'static str, labels: Labels<'_>) -> Self {
        Self {
            value: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            facade: metrics::counter!(name, facade(labels)),
        }
    }

    pub(crate) fn add(&self, n: usize) {
        let n = n as u64;
        self.value.fetch_add(n, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.facade.increment(n);
    }

    /// Counts how long something took, in nanoseconds.
    pub(crate) fn add_time(&self, took: Duration) {
        self.add(usize::try_from(took.as_nanos()).unwrap_or(usize::MAX));
    }

    pub(crate) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug)]
pub(crate) struct Gauge {
    bits: AtomicU64,
    #[cfg(feature = "metrics")]
    facade: metrics::Gauge,
}

impl Gauge {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are the facade's"))]
    pub(crate) fn new(name: &'static str, labels: Labels<'_>) -> Self {
        Self {
            bits: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            facade: metrics::gauge!(name, facade(labels)),
        }
    }

    pub(crate) fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.facade.set(value);
    }

    pub(crate) fn value(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }
}

/// One of those that the facade is told the number of, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Alive {
    #[cfg(feature = "metrics")]
    facade: metrics::Gauge,
}

impl Alive {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are the facade's"))]
    pub(crate) fn new(name: &'static str, labels: Labels<'_>) -> Self {
        #[cfg(feature = "metrics")]
        let facade = metrics::gauge!(name, facade(labels));
        #[cfg(feature = "metrics")]
        facade.increment(1.0);
        Self {
            #[cfg(feature = "metrics")]
            facade,
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for Alive {
    fn drop(&mut self) {
        self.facade.decrement(1.0);
    }
}

/// A number of which the average and the largest are told, and to the facade all, as a histogram.
#[derive(Debug)]
pub(crate) struct Measure {
    count: AtomicU64,
    sum: AtomicU64,
    max: AtomicU64,
    #[cfg(feature = "metrics")]
    facade: metrics::Histogram,
}

/// Measured so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) count: u64,
    pub(crate) sum: u64,
    pub(crate) max: u64,
}

impl Measure {
    /// `name` is without `-avg` and `-max`.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "names are the facade's"))]
    pub(crate) fn new(name: &'static str, labels: Labels<'_>) -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            facade: metrics::histogram!(name, facade(labels)),
        }
    }

    /// The facade is told milliseconds, as Kafka's names mean them.
    pub(crate) fn add_time(&self, took: Duration) {
        self.count(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        #[cfg(feature = "metrics")]
        self.facade.record(took.as_secs_f64() * 1e3);
    }

    #[cfg_attr(feature = "metrics", allow(clippy::cast_precision_loss, reason = "a metric"))]
    pub(crate) fn add_size(&self, size: usize) {
        self.count(size as u64);
        #[cfg(feature = "metrics")]
        self.facade.record(size as f64);
    }

    fn count(&self, value: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.max.fetch_max(value, Ordering::Relaxed);
    }

    pub(crate) fn measured(&self) -> Measured {
        Measured {
            count: self.count.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

impl Measured {
    pub(crate) fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, sum: self.sum + other.sum, max: self.max.max(other.max) }
    }

    pub(crate) fn average_time(self) -> Option<Duration> {
        self.sum.checked_div(self.count).map(Duration::from_micros)
    }

    pub(crate) fn longest_time(self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_micros(self.max))
    }

    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    pub(crate) fn average_size(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    #[allow(clippy::cast_precision_loss, reason = "a metric")]
    pub(crate) fn largest_size(self) -> Option<f64> {
        (self.count > 0).then_some(self.max as f64)
    }
}

/// As Kafka's metrics have times.
pub(crate) fn in_ms(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64() * 1e3
}

/// Declares what is counted of something, under Kafka's names: the numbers that users get, and the meters of those who
/// count. A time or a size gives two numbers, its average and its maximum. What is in `also` is filled in by hand.
macro_rules! metric_set {
    (
        $(#[$doc:meta])* $numbers:ident counted by $meters:ident;
        totals { $($(#[$total_doc:meta])* $total:ident = $total_name:literal;)* }
        gauges { $($(#[$gauge_doc:meta])* $gauge:ident = $gauge_name:literal;)* }
        times { $($(#[$time_doc:meta])* $time:ident: $time_avg:ident, $time_max:ident = $time_name:literal;)* }
        sizes { $($(#[$size_doc:meta])* $size:ident: $size_avg:ident, $size_max:ident = $size_name:literal;)* }
        also { $($(#[$also_doc:meta])* $also:ident: $also_type:ty;)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $numbers {
            $($(#[$total_doc])* pub $total: u64,)*
            $($(#[$gauge_doc])* pub $gauge: f64,)*
            $(
                $(#[$time_doc])* pub $time_avg: Option<std::time::Duration>,
                #[doc = concat!("`", $time_name, "-max`: the longest of them.")]
                pub $time_max: Option<std::time::Duration>,
            )*
            $(
                $(#[$size_doc])* pub $size_avg: Option<f64>,
                #[doc = concat!("`", $size_name, "-max`: the largest of them.")]
                pub $size_max: Option<f64>,
            )*
            $($(#[$also_doc])* pub $also: $also_type,)*
        }

        impl $numbers {
            /// Every single number with Kafka's name; times are in milliseconds, as in Kafka, and 0 before the first.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
                #[allow(clippy::cast_precision_loss, reason = "a metric")]
                [
                    $(($total_name, self.$total as f64),)*
                    $(($gauge_name, self.$gauge),)*
                    $(
                        (concat!($time_name, "-avg"), $crate::metrics::meter::in_ms(self.$time_avg)),
                        (concat!($time_name, "-max"), $crate::metrics::meter::in_ms(self.$time_max)),
                    )*
                    $(
                        (concat!($size_name, "-avg"), self.$size_avg.unwrap_or_default()),
                        (concat!($size_name, "-max"), self.$size_max.unwrap_or_default()),
                    )*
                ]
                .into_iter()
            }

            #[allow(dead_code, reason = "not every set has parts")]
            pub(crate) fn add_totals(&mut self, part: &Self) {
                $(self.$total += part.$total;)*
            }
        }

        /// What is counted, by those who do it.
        #[derive(Debug)]
        pub(crate) struct $meters {
            $(pub(crate) $total: $crate::metrics::meter::Counter,)*
            $(pub(crate) $gauge: $crate::metrics::meter::Gauge,)*
            $(pub(crate) $time: $crate::metrics::meter::Measure,)*
            $(pub(crate) $size: $crate::metrics::meter::Measure,)*
        }

        impl $meters {
            pub(crate) fn new(labels: $crate::metrics::meter::Labels<'_>) -> Self {
                Self {
                    $($total: $crate::metrics::meter::Counter::new($total_name, labels),)*
                    $($gauge: $crate::metrics::meter::Gauge::new($gauge_name, labels),)*
                    $($time: $crate::metrics::meter::Measure::new($time_name, labels),)*
                    $($size: $crate::metrics::meter::Measure::new($size_name, labels),)*
                }
            }

            pub(crate) fn numbers(&self) -> $numbers {
                $(let $time = self.$time.measured();)*
                $(let $size = self.$size.measured();)*
                #[allow(clippy::needless_update, reason = "some sets have more than is counted")]
                $numbers {
                    $($total: self.$total.value(),)*
                    $($gauge: self.$gauge.value(),)*
                    $($time_avg: $time.average_time(), $time_max: $time.longest_time(),)*
                    $($size_avg: $size.average_size(), $size_max: $size.largest_size(),)*
                    ..Default::default()
                }
            }
        }
    };
}
pub(crate) use metric_set;
