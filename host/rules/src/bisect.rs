//! Finds the rows that make a batch fail, so that one bad record costs one record.
//! Knows nothing of components: a call is a closure over row numbers.

use dealsync_core::answers::FaultKind;

use crate::fault::Failure;

/// What finding the culprits of one batch may cost.
#[derive(Debug)]
pub(crate) struct Budget {
    pub runs_left: usize,
    pub fuel_left: u64,
    /// Calls that the clock may stop.
    pub stops_left: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.runs_left == 0 || self.fuel_left == 0 || self.stops_left == 0
    }

    pub fn charge_run(&mut self) {
        self.runs_left = self.runs_left.saturating_sub(1);
    }

    pub fn charge_fuel(&mut self, fuel: u64) {
        self.fuel_left = self.fuel_left.saturating_sub(fuel);
    }
}

/// A row that is alone with its failure.
pub(crate) type Culprit = (usize, Failure);

/// Asks about some rows. Names those whose part of the answer is unusable, or
/// fails as a whole.
pub(crate) type Call<'a> = dyn FnMut(&[usize], &mut Budget) -> Result<Vec<Culprit>, Failure> + 'a;

/// Calls with all rows; where that fails, with halves, until the rows that fail
/// are alone. The call takes effect by itself, charges the budget, and may name
/// single rows whose answer was unusable. Rows that fail only together are
/// answered in separate calls and none of them is blamed.
///
/// With the budget spent, whatever fails is blamed as a whole.
pub(crate) fn isolate(rows: &[usize], budget: &mut Budget, call: &mut Call<'_>) -> Vec<Culprit> {
    let mut culprits = Vec::new();
    let mut waiting = vec![rows];
    while let Some(rows) = waiting.pop() {
        if rows.is_empty() {
            continue;
        }
        let mut outcome = call(rows, budget);
        // The wall clock also strikes where the machine is busy: ask again before
        // blaming anyone.
        if matches!(&outcome, Err(failure) if failure.kind == FaultKind::WallClockExceeded) {
            budget.stops_left = budget.stops_left.saturating_sub(1);
            outcome = call(rows, budget);
        }
        match outcome {
            Ok(broken) if broken.is_empty() => {}
            Ok(broken) if budget.is_spent() => {
                let failure = broken[0].1.clone();
                culprits.extend(rows.iter().map(|row| (*row, failure.clone())));
            }
            Ok(broken) => culprits.extend(broken),
            Err(failure) if rows.len() == 1 => culprits.push((rows[0], failure)),
            Err(failure) if failure.is_the_hosts() || budget.is_spent() => {
                culprits.extend(rows.iter().map(|row| (*row, failure.clone())));
            }
            Err(_) => {
                let (first, second) = rows.split_at(rows.len() / 2);
                waiting.push(second);
                waiting.push(first);
            }
        }
    }
    culprits.sort_by_key(|(row, _)| *row);
    culprits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rows: usize, runs: usize, bad: impl Fn(&[usize]) -> bool) -> (Vec<usize>, usize) {
        let rows: Vec<usize> = (0..rows).collect();
        let mut budget = Budget { runs_left: runs, fuel_left: u64::MAX, stops_left: 9 };
        let mut calls = 0;
        let culprits = isolate(&rows, &mut budget, &mut |rows, budget| {
            calls += 1;
            budget.charge_run();
            if bad(rows) { Err(Failure::new(FaultKind::Trapped, "trap")) } else { Ok(Vec::new()) }
        });
        (culprits.into_iter().map(|(row, _)| row).collect(), calls)
    }

    #[test]
    fn the_bad_rows_and_no_others_are_found() {
        let (culprits, calls) = run(200, 400, |rows| rows.contains(&17) || rows.contains(&190));
        assert_eq!(culprits, [17, 190]);
        assert!(calls < 40, "{calls}");
    }

    #[test]
    fn rows_that_fail_only_together_are_not_blamed() {
        let (culprits, _) = run(8, 100, |rows| rows.len() > 4);
        assert!(culprits.is_empty());
    }

    #[test]
    fn the_search_ends_when_its_budget_does() {
        let (culprits, calls) = run(200, 50, |_| true);
        assert_eq!(culprits.len(), 200);
        assert!(calls <= 70, "{calls}");
    }

    #[test]
    fn a_call_cut_off_by_the_clock_is_asked_again_first() {
        let mut first = true;
        let mut budget = Budget { runs_left: 10, fuel_left: u64::MAX, stops_left: 9 };
        let culprits = isolate(&[0], &mut budget, &mut |_, _| match std::mem::take(&mut first) {
            true => Err(Failure::new(FaultKind::WallClockExceeded, "slow")),
            false => Ok(Vec::new()),
        });
        assert!(culprits.is_empty());
    }
}
