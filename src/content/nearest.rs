//! Which names are nearest to one that does not exist: for the sentence that says so.

use std::collections::BTreeSet;

/// So many are told.
const TOLD_MAX: usize = 3;
/// Longer texts are compared as far as this, in characters.
const COMPARED_MAX: usize = 255;

/// The names nearest to `wanted`, the nearest first: none that has little to do with it. Names are compared
/// without regard to case, whole and without their folders.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = letters(wanted);
    let Some(most) = wanted.len().checked_sub(1).map(|length| 1 + length / 3) else {
        return Vec::new();
    };
    let mut best: BTreeSet<(usize, &str)> = BTreeSet::new();
    for name in names {
        let file_name = name.rsplit('/').next().unwrap_or(name);
        let of = |text: &str| distance(&wanted, &letters(text), most);
        if let Some(distance) = of(name).into_iter().chain(of(file_name)).min() {
            best.insert((distance, name));
            if best.len() > TOLD_MAX {
                best.pop_last();
            }
        }
    }
    best.into_iter().map(|(_, name)| name).collect()
}

/// What is compared of a text: a pattern's own signs are nobody's letters.
fn letters(text: &str) -> Vec<char> {
    let letters = text.chars().flat_map(char::to_lowercase);
    letters.filter(|letter| !"*?[]\\".contains(*letter)).take(COMPARED_MAX).collect()
}

/// How many letters have to be put in, taken out or replaced; one, where it contains the wanted text.
/// Nothing above `most`.
fn distance(wanted: &[char], other: &[char], most: usize) -> Option<usize> {
    if other.windows(wanted.len()).any(|window| window == wanted) {
        return Some(usize::from(wanted != other));
    }
    if wanted.len().abs_diff(other.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in wanted.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, its) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != its);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
        if row.iter().min().is_none_or(|least| *least > most) {
            return None;
        }
    }
    row.last().copied().filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_strangers_not_at_all() {
        let names = ["animals/fox.txt", "animals/box.txt", "film.mov", "Fox.TXT", "foxes.txt"];
        assert_eq!(nearest("fox.txt", names), ["Fox.TXT", "animals/fox.txt", "animals/box.txt"]);
        assert_eq!(nearest("fxo.txt", names), ["Fox.TXT", "animals/fox.txt", "animals/box.txt"]);
        assert_eq!(nearest("flim.mov", names), ["film.mov"]);
        assert_eq!(nearest("film", names), ["film.mov"]);
        assert_eq!(nearest("*.mvo", names), ["film.mov"; 0]);
        assert_eq!(nearest("", names), [""; 0]);
        assert_eq!(nearest("zebra", names), [""; 0]);
    }
}
