//! "Did you mean …?": the nearest of a few known words to one that was typed.
//!
//! The distance is optimal string alignment (insert, delete, replace, swap neighbours), because
//! `pors`, `portts`, `prots` and `porta` are how people mistype `ports`. A suggestion is made only
//! when it is closer than a third of the word, so that a wrong word does not get a random answer.

/// Returns the candidate that `typed` was probably meant to be.
#[must_use]
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = normal(typed);
    candidates
        .into_iter()
        .map(|candidate| (distance(&typed, &normal(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.chars().count() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `Hold_Down` and `hold-down` are the same mistake at no distance.
fn normal(word: &str) -> String {
    word.to_lowercase().replace('_', "-")
}

fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let width = right.len() + 1;
    let mut grid = vec![0_usize; (left.len() + 1) * width];
    let at = |row: usize, column: usize| row * width + column;

    for row in 0..=left.len() {
        for column in 0..width {
            grid[at(row, column)] = if row == 0 {
                column
            } else if column == 0 {
                row
            } else {
                let replace = usize::from(left[row - 1] != right[column - 1]);
                let mut best = (grid[at(row - 1, column)] + 1)
                    .min(grid[at(row, column - 1)] + 1)
                    .min(grid[at(row - 1, column - 1)] + replace);
                if row > 1
                    && column > 1
                    && left[row - 1] == right[column - 2]
                    && left[row - 2] == right[column - 1]
                {
                    best = best.min(grid[at(row - 2, column - 2)] + 1);
                }
                best
            };
        }
    }
    grid[at(left.len(), right.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["mapping", "filtering", "pooling", "ports"];
        assert_eq!(nearest("filterng", known), Some("filtering"));
        assert_eq!(nearest("maping", known), Some("mapping"));
        assert_eq!(nearest("prots", known), Some("ports"));
        assert_eq!(nearest("Ports", known), Some("ports"));
        assert_eq!(nearest("hold_down", ["hold-down"]), Some("hold-down"));
    }

    #[test]
    fn another_word_finds_none() {
        assert_eq!(nearest("colour", ["mapping", "filtering"]), None);
        assert_eq!(nearest("eth0", ["lo"]), None);
    }

    #[test]
    fn an_interface_name_of_four_letters_allows_one_slip() {
        assert_eq!(nearest("eth9", ["eth0", "lo"]), Some("eth0"));
        assert_eq!(nearest("ehт0", ["wlan0"]), None);
    }
}
