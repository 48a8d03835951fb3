//! Cuts: wherever the process ends or the connection breaks, the next run ends where
//! an undisturbed one would have, and nobody is told twice.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use dealsync::app::{App, AppError, PULL_LANE};
use dealsync::notify;
use dealsync::run::{Kind, Request, Unwatched};
use dealsync_core::ids::{SfId, TenantId};
use dealsync_salesforce_sim::{Fault, FaultKind, OrgFile, Sim, demo};
use dealsync_tests::{ACME, Cut, Cuts, Running, Shell, World, minutes, opportunity};
use serde_json::json;

/// Rows of a page, so that a few records make several pages.
const PAGE: usize = 2;
/// Tries of one call by the client; a connection that is down longer fails the run.
const TRIES: usize = 5;
/// More steps than the story has.
const STEPS_MAX: usize = 2_000;

/// What happens, one after the other; each step is repeated until it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    First,
    Changes,
    Vanished,
    Mails,
}

const STORY: [Step; 4] = [Step::First, Step::Changes, Step::Vanished, Step::Mails];

/// A world with a few records over several pages.
struct Story {
    world: World,
    cuts: Arc<Cuts>,
    ids: BTreeMap<&'static str, SfId>,
    was_cut: bool,
}

impl Story {
    async fn new() -> Self {
        let mut file = OrgFile::parse(demo::ORG_TOML).expect("the demo's org file");
        (file.page_size, file.long_text_page_size) = (PAGE, PAGE);
        let mut world = World::of(Sim::new(file).expect("the demo's fields"), ACME).await;
        let org = world.org();
        let account = org.insert("Account", json!({ "Name": "Shared Inc" })).expect("an account");
        let contact = org
            .insert(
                "Contact",
                json!({ "LastName": "Shared", "FirstName": "Kim", "AccountId": account.as_str() }),
            )
            .expect("a contact");
        let shared = |name| opportunity(name).account(account).contact(contact);
        let records = [
            shared("Alder"),
            opportunity("Birch"),
            opportunity("Cedar").partner("eve@partner.example"),
            opportunity("Dogwood"),
            opportunity("Elm").sync_flag(false),
            shared("Fir"),
            opportunity("Ginkgo"),
        ];
        let names = ["Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo"];
        let mut ids = BTreeMap::new();
        for (at, (name, record)) in names.into_iter().zip(records).enumerate() {
            ids.insert(name, world.has(record));
            // Some stamps are the same, across a page's border too.
            if at % 3 == 0 {
                world.advance(minutes(1));
            }
        }
        let cuts = Cuts::new(world.sim.router(), world.clock.clone());
        world.restart_on(cuts.clone(), cuts.clone());
        Self { world, cuts, ids, was_cut: false }
    }

    /// What people in the org do before a step.
    fn prepare(&self, step: Step) {
        let org = self.world.org();
        let edit = |name, fields| org.update("Opportunity", self.ids[name], fields).expect("an edit");
        self.world.advance(minutes(1));
        match step {
            Step::First | Step::Mails => {}
            Step::Changes => {
                edit("Birch", json!({ "Amount": 99 }));
                edit("Cedar", json!({ "Portal_Partner_Email__c": "dana@partner.example" }));
                edit("Dogwood", json!({ "Sync_with_Portal__c": false }));
                edit("Elm", json!({ "Sync_with_Portal__c": true }));
            }
            Step::Vanished => org.delete("Opportunity", self.ids["Ginkgo"]).expect("a deletion"),
        }
    }

    /// Does a step, through a restart where the process ends in it.
    async fn take(&mut self, step: Step) {
        self.prepare(step);
        for _ in 0..4 {
            let work = perform(self.world.app().clone(), self.world.tenant.clone(), step);
            let mut task = tokio::spawn(self.cuts.clone().watched(work));
            let done = tokio::select! {
                done = &mut task => done,
                () = self.cuts.reached() => {
                    task.abort();
                    task.await
                }
            };
            match done {
                Ok(Ok(whole)) if whole => return,
                // Only the rest was looked at: the next run looks at everything.
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    self.was_cut = self.cuts.heal();
                    assert!(self.was_cut, "{step:?} failed by itself: {error:?}");
                    // A login that failed is not asked for again at once.
                    self.world.advance(minutes(1));
                }
                Err(ended) => {
                    assert!(self.cuts.is_cut(), "{step:?} ended by itself: {ended:?}");
                    self.world.restart_on(self.cuts.clone(), self.cuts.clone());
                }
            }
        }
        panic!("{step:?} never came to its end");
    }

    /// Everything there is to see at the end.
    async fn end(&self) -> String {
        let mut mails: Vec<String> = Vec::new();
        for mail in std::fs::read_dir(self.world.folder.path().join("mail")).expect("mails") {
            let text = std::fs::read_to_string(mail.expect("a file").path()).expect("a mail");
            let subject = text.lines().find(|line| line.starts_with("Subject:")).expect("a subject");
            mails.push(subject.to_owned());
        }
        mails.sort();
        format!("{}{}\n", self.world.snapshot().await, mails.join("\n"))
    }
}

/// True where nothing is left for another run.
async fn perform(app: App, tenant: TenantId, step: Step) -> Result<bool, AppError> {
    let kind = match step {
        Step::First | Step::Vanished => Kind::Full,
        Step::Changes => Kind::Incremental,
        Step::Mails => {
            notify::deliver_due(&app, &tenant, Duration::from_secs(60)).await?;
            return Ok(true);
        }
    };
    let report = app.run(&tenant, PULL_LANE, Request::manual(kind), &Unwatched).await?;
    Ok(!report.resumed)
}

/// The end of a story in which one step breaks, and whether it did.
async fn told(cut: Option<(Cut, usize, usize)>) -> (String, bool) {
    let mut story = Story::new().await;
    if let Some((cut, at, times)) = cut {
        story.cuts.plan(cut, at, times);
    }
    for step in STORY {
        story.take(step).await;
    }
    let was_cut = story.cuts.heal() || story.was_cut;
    (story.end().await, was_cut)
}

/// Cuts at every step there is, one story each, and compares the ends.
async fn cut_everywhere(cut: Cut, times: usize) {
    let (undisturbed, _) = told(None).await;
    assert!(undisturbed.contains("Ginkgo"), "{undisturbed}");
    for at in 0..STEPS_MAX {
        let (end, was_cut) = told(Some((cut, at, times))).await;
        pretty_equal(&end, &undisturbed, &format!("{cut:?} at {at}"));
        if !was_cut {
            assert!(at > 20, "the story has more steps than {at}");
            return;
        }
    }
    panic!("the story never ended");
}

fn pretty_equal(left: &str, right: &str, what: &str) {
    if left != right {
        let missing: Vec<_> = right.lines().filter(|line| !left.contains(line)).collect();
        let new: Vec<_> = left.lines().filter(|line| !right.contains(line)).collect();
        panic!("{what} ends otherwise.\nmissing: {missing:#?}\nnew: {new:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_cut_before_any_call_ends_like_an_undisturbed_run() {
    cut_everywhere(Cut::ProcessBeforeCall, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_cut_after_any_call_ends_like_an_undisturbed_run() {
    cut_everywhere(Cut::ProcessAfterCall, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_cut_between_any_two_steps_ends_like_an_undisturbed_run() {
    cut_everywhere(Cut::ProcessAtClock, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_every_step_ends_like_an_undisturbed_run() {
    cut_everywhere(Cut::ConnectionBeforeCall, TRIES).await;
    cut_everywhere(Cut::ConnectionAfterCall, TRIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_once_costs_nothing_but_another_try() {
    cut_everywhere(Cut::ConnectionAfterCall, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_resumes_at_its_last_page() {
    let shell = Shell::new().await;
    shell.sim.change(|org| (org.file.page_size, org.file.long_text_page_size) = (PAGE, PAGE));
    for at in 0..11 {
        shell.has(opportunity(&format!("Deal {at:02}")));
    }
    // The fourth page of six does not come: the third is the last one committed.
    shell.sim.fault(Fault { ms: 600_000, ..Fault::new(FaultKind::Slow).on("query_more").after(2) });
    let mut run = shell.command("lane run --full --json");
    let mut run = Running::start(run.stderr(Stdio::piped()).stdout(Stdio::null()));
    let said = BufReader::new(run.0.stderr.take().expect("piped"));
    let third = said.lines().map_while(Result::ok).find(|line| line.starts_with("6 of 11"));
    assert!(third.is_some(), "the third page is committed");
    run.0.kill().expect("a kill");
    run.0.wait().expect("its end");
    shell.sim.clear_faults();

    shell.sim.reset_tally();
    let report = shell.full();
    assert_eq!(report["resumed"], true, "{report}");
    assert_eq!((&report["created"], &report["selected"]), (&json!(11), &json!(11)), "{report}");
    assert_eq!(shell.sim.tally().rows["Opportunity"], 5, "pages before are not asked for again");
    let again = shell.full();
    assert_eq!((&again["created"], &again["unchanged"]), (&json!(0), &json!(11)), "{again}");
    let mails = std::fs::read_dir(shell.path("data/mail")).expect("mails").count();
    assert_eq!(mails, 11, "one for each deal");
}
