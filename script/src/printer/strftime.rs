//! A time → text, by C's `strftime` and bpftrace's `%f`.

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `seconds` since 1970 with `ns` more, shown `offset` seconds ahead of UTC. `%f` are microseconds.
pub fn strftime(format: &str, seconds: i64, ns: u32, offset: i32) -> String {
    let local = seconds.saturating_add(i64::from(offset));
    let days = local.div_euclid(86_400);
    let of_day = local.rem_euclid(86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let weekday = (days + 4).rem_euclid(7) as usize;
    let yearday = days - days_before(year);
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = chars.next();
        // Flags and modifiers that change nothing that matters here.
        while matches!(spec, Some('E' | 'O')) {
            spec = chars.next();
        }
        let again = |f: &str| strftime(f, seconds, ns, offset);
        let text = match spec {
            Some('Y') => year.to_string(),
            Some('C') => format!("{:02}", year.div_euclid(100)),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('H') => format!("{hour:02}"),
            Some('k') => format!("{hour:2}"),
            Some('I') => format!("{hour12:02}"),
            Some('l') => format!("{hour12:2}"),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('f') => format!("{:06}", ns / 1000),
            Some('s') => seconds.to_string(),
            Some('j') => format!("{:03}", yearday + 1),
            Some('a') => DAYS[weekday][..3].to_owned(),
            Some('A') => DAYS[weekday].to_owned(),
            Some('b' | 'h') => MONTHS[month as usize - 1][..3].to_owned(),
            Some('B') => MONTHS[month as usize - 1].to_owned(),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('u') => (if weekday == 0 { 7 } else { weekday }).to_string(),
            Some('w') => weekday.to_string(),
            Some('z') => {
                let sign = if offset < 0 { '-' } else { '+' };
                let a = offset.unsigned_abs();
                format!("{sign}{:02}{:02}", a / 3600, a / 60 % 60)
            }
            Some('Z') => if offset == 0 { "UTC" } else { "" }.to_owned(),
            Some('F') => again("%Y-%m-%d"),
            Some('T' | 'X') => again("%H:%M:%S"),
            Some('R') => again("%H:%M"),
            Some('r') => again("%I:%M:%S %p"),
            Some('D' | 'x') => again("%m/%d/%y"),
            Some('c') => again("%a %b %e %H:%M:%S %Y"),
            Some('n') => "\n".to_owned(),
            Some('t') => "\t".to_owned(),
            Some('%') => "%".to_owned(),
            Some(other) => format!("%{other}"),
            None => "%".to_owned(),
        };
        out.push_str(&text);
    }
    out
}

/// Days from 1970 to the first day of a year.
fn days_before(year: i64) -> i64 {
    let y = year - 1;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) - 719_162
}

/// Year, month from 1, day from 1.
fn date(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while days_before(year + 1) <= days {
        year += 1;
    }
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut left = days - days_before(year);
    let lengths = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    for (m, n) in lengths.into_iter().enumerate() {
        if left < n {
            return (year, m as i64 + 1, left + 1);
        }
        left -= n;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(
            strftime("%F %T.%f", 0, 1_234_567, 0),
            "1970-01-01 00:00:00.001234"
        );
        assert_eq!(
            strftime("%Y-%m-%d %H:%M:%S %a %j", 951_827_696, 0, 0),
            "2000-02-29 12:34:56 Tue 060"
        );
        assert_eq!(strftime("%s %z", 5, 0, 7200), "5 +0200");
        assert_eq!(strftime("%H:%M", 0, 0, 3600), "01:00");
        assert_eq!(
            strftime("%D %I %p %q %", 1_785_000_000, 0, 0),
            "07/25/26 05 PM %q %"
        );
    }
}
