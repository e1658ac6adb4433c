//! Points in time as seconds since 1970, written as a date or an RFC 3339 time in UTC.

use std::fmt;
use std::str::FromStr;

/// Whole seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The last second of year 9999.
    pub const LAST: Time = Time(253_402_300_799);
}

impl FromStr for Time {
    type Err = String;

    /// `2027-01-31` (its first second) or `2027-01-31T12:00:00Z`.
    fn from_str(text: &str) -> Result<Time, String> {
        let wrong = || format!("`{text}` is not a time as 2027-01-31 or 2027-01-31T12:00:00Z");
        let stamp = match text.len() {
            10 => format!("{text}T00:00:00Z"),
            _ => text.to_owned(),
        };
        let stamp: jiff::Timestamp = stamp.parse().map_err(|_| wrong())?;
        let seconds = u64::try_from(stamp.as_second()).map_err(|_| wrong())?;
        if seconds > Time::LAST.0 {
            return Err(wrong());
        }
        Ok(Time(seconds))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.min(Time::LAST.0)).unwrap_or(0);
        let stamp = jiff::Timestamp::from_second(seconds).map_err(|_| fmt::Error)?;
        let text = stamp.to_string();
        match text.strip_suffix("T00:00:00Z") {
            Some(date) => f.write_str(date),
            None => f.write_str(&text),
        }
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
