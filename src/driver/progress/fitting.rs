//! One line of a terminal for a download: what fits into it. A line that wraps cannot be taken away again, so
//! none does: first the bar goes, then the beginning of the name, then what is said beside the share.

/// A bar shorter than this says nothing.
const BAR_MIN: usize = 10;
/// So much of a name is kept as long as there is anything else that could go.
const NAME_MIN: usize = 16;
/// Characters from here on may take two columns.
const WIDE_FROM: char = '\u{1100}';

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    /// The name, its beginning left out where it is too long.
    pub(super) name: String,
    /// Whether there is a bar.
    pub(super) has_bar: bool,
    /// The share that is here, and what is going on.
    pub(super) text: String,
}

/// Fits a line into so many columns: `share` as in "38 %", `beside` as in " of 20.00 MB, 1 source".
pub(super) fn fit(columns: usize, name: &str, share: &str, beside: &str) -> Fitted {
    // The last column stays free: some terminals wrap when it is written.
    let room = columns.saturating_sub(1);
    let name_least = width(name).min(NAME_MIN);
    let for_text = room.saturating_sub(name_least + 1);
    let text = keep_parts(share, beside, for_text);
    let for_name = room.saturating_sub(width(&text) + 1);
    let with_bar = for_name.saturating_sub(BAR_MIN + 1);
    let has_bar = with_bar >= name_least;
    let name = keep_end(name, if has_bar { with_bar } else { for_name });
    Fitted { name, has_bar, text }
}

/// Columns that it takes at most.
fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(letter: char) -> usize {
    if letter < WIDE_FROM { 1 } else { 2 }
}

/// The end of a name tells more than its beginning: there is the file, and not its folders.
fn keep_end(name: &str, columns: usize) -> String {
    if width(name) <= columns {
        return name.to_owned();
    }
    let mut kept = width_of('…');
    let fits = |(_, letter): &(usize, char)| {
        kept += width_of(*letter);
        kept <= columns
    };
    let start = name.char_indices().rev().take_while(fits).last();
    start.map_or_else(String::new, |(at, _)| format!("…{}", &name[at..]))
}

/// The share, and as much beside it as fits, no part by half.
fn keep_parts(share: &str, beside: &str, columns: usize) -> String {
    let mut text = share.to_owned();
    for part in beside.split_inclusive(", ") {
        if width(&text) + width(part.trim_end_matches(", ")) > columns {
            break;
        }
        text.push_str(part);
    }
    text.trim_end_matches(", ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BESIDE: &str = " of 20.00 MB, 1.63 MB/s, 0:06 left, 1 source";

    fn line(fitted: &Fitted) -> usize {
        let bar = if fitted.has_bar { BAR_MIN + 1 } else { 0 };
        width(&fitted.name) + 1 + bar + width(&fitted.text)
    }

    #[test]
    fn what_goes_first() {
        let name = "photos/summer/number 1.jpg";
        let wide = fit(100, name, " 44 %", BESIDE);
        assert!(wide.has_bar);
        assert_eq!((wide.name.as_str(), wide.text), (name, format!(" 44 %{BESIDE}")));
        // The share and what goes on take 49 of them.
        let shorter = fit(79, name, " 44 %", BESIDE);
        assert_eq!((shorter.name.as_str(), shorter.has_bar), ("…er/number 1.jpg", true));
        let bare = fit(72, name, " 44 %", BESIDE);
        assert_eq!((bare.name.as_str(), bare.has_bar), ("…summer/number 1.jpg", false));
        let narrow = fit(40, name, " 44 %", BESIDE);
        assert_eq!((narrow.name.as_str(), narrow.has_bar), ("…summer/number 1.jpg", false));
        assert_eq!(narrow.text, " 44 % of 20.00 MB");
    }

    #[test]
    fn nothing_ever_wraps() {
        let long = "夏/".repeat(30) + "a very long name of a picture, number 1.jpg";
        for name in ["a", "fox.txt", "photos/summer/number 1.jpg", &long] {
            for columns in 8..200 {
                let fitted = fit(columns, name, " 44 %", BESIDE);
                assert!(line(&fitted) < columns, "{columns}: {fitted:?}");
                assert!(fitted.text.starts_with(" 44 %"), "{columns}: {fitted:?}");
                let end = fitted.name.trim_start_matches('…');
                assert!(name.ends_with(end), "{columns}: {fitted:?}");
            }
        }
    }
}
