//! `dealsync reasons …`: the catalogue of everything the log can say. Needs no
//! data folder.

use clap::Subcommand;
use dealsync_core::reason::{CATALOGUE, Code, Entry};
use serde::Serialize;

use super::out::{CliError, Out};
use super::table::{left, list, print_json, whole};
use crate::hints::did_you_mean;

#[derive(Debug, Clone, Subcommand)]
pub enum Reasons {
    /// Lists the catalogue.
    List,
    /// Shows one entry: what it says, how to fix it, when it is tried again.
    Show { code: String },
}

#[derive(Serialize)]
struct Item {
    code: &'static str,
    level: &'static str,
    about: String,
    retry: String,
    sentence: &'static str,
    fix: &'static str,
}

impl From<&Entry> for Item {
    fn from(entry: &Entry) -> Self {
        Self {
            code: entry.name,
            level: entry.level.name(),
            about: format!("{:?}", entry.class).to_lowercase(),
            retry: format!("{:?}", entry.retry).to_lowercase(),
            sentence: entry.sentence,
            fix: entry.fix,
        }
    }
}

impl Reasons {
    pub fn execute(&self, json: bool, out: &dyn Out) -> Result<(), CliError> {
        match self {
            Self::List => {
                let items: Vec<Item> = CATALOGUE.iter().map(Item::from).collect();
                let columns = [whole("CODE"), whole("LEVEL"), whole("TRIED AGAIN"), left("SENTENCE")];
                list(out, json, &items, &columns, "", |item| {
                    vec![
                        item.code.into(),
                        item.level.into(),
                        tried_again(&item.retry).into(),
                        item.sentence.into(),
                    ]
                });
                Ok(())
            }
            Self::Show { code } => show(&code.to_uppercase(), json, out),
        }
    }
}

fn show(code: &str, json: bool, out: &dyn Out) -> Result<(), CliError> {
    let Some(code) = Code::from_name(code) else {
        let hint = did_you_mean(code, CATALOGUE.iter().map(|entry| entry.name));
        return Err(CliError::user(format!("there is no code {code}{hint}"))
            .hint("all of them: dealsync reasons list"));
    };
    let item = Item::from(code.entry());
    if json {
        print_json(out, &item);
        return Ok(());
    }
    out.line(&format!("{} ({})", item.code, item.level));
    out.line(&format!("  says:        {}", item.sentence));
    out.line(&format!("  fix:         {}", item.fix));
    out.line(&format!("  about:       {}", item.about));
    out.line(&format!("  tried again: {}", tried_again(&item.retry)));
    Ok(())
}

fn tried_again(retry: &str) -> &'static str {
    match retry {
        "dependency" => "when it changes",
        "auto" => "by itself",
        "manual" => "when asked to",
        "pause" => "once resumed",
        _ => "never",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::out::Kept;

    #[test]
    fn an_entry_says_what_to_do_and_when_it_is_tried_again() {
        let out = Kept::default();
        Reasons::Show { code: "partner_user_unknown".into() }.execute(false, &out).unwrap();
        expect![[r#"
            PARTNER_USER_UNKNOWN (error)
              says:        Not imported: no portal user has {email}.
              fix:         Invite the user, or correct the address.
              about:       portal
              tried again: when it changes
        "#]]
        .assert_eq(&out.lines());
    }

    #[test]
    fn an_unknown_code_is_answered_with_the_one_that_was_meant() {
        let error = Reasons::Show { code: "PARTNER_USER_UNKNWN".into() }.execute(false, &Kept::default());
        assert!(error.unwrap_err().message.contains("did you mean \"PARTNER_USER_UNKNOWN\"?"));
    }

    #[test]
    fn the_catalogue_fits_a_terminal() {
        let out = Kept::default();
        Reasons::List.execute(false, &out).unwrap();
        assert!(out.lines().lines().all(|line| line.chars().count() <= crate::cli::table::TABLE_WIDTH));
    }
}
