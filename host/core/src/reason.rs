//! The catalogue: every failure a user can cause, with its sentence and its fix.

use std::fmt;

/// Whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Data in Salesforce.
    Data,
    /// Data in the portal.
    Portal,
    /// A mapping or a setting.
    Mapping,
    Access,
    Transient,
    Identity,
    Limit,
    Ours,
}

/// When a record set aside for this is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// When what it depends on changes, and by every full run.
    Dependency,
    /// By itself, after a while.
    Auto,
    /// When a person says so.
    Manual,
    /// The connection waits for a person.
    Pause,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One row of the catalogue. Sentence and fix hold `{placeholders}`.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub code: Code,
    pub name: &'static str,
    pub class: Class,
    pub retry: Retry,
    pub level: Level,
    pub sentence: &'static str,
    pub fix: &'static str,
}

macro_rules! catalogue {
    ($($code:ident $name:literal $class:ident $retry:ident $level:ident $sentence:literal $fix:literal)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($code),+ }

        /// The whole catalogue, in the order of [`Code`].
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            code: Code::$code,
            name: $name,
            class: Class::$class,
            retry: Retry::$retry,
            level: Level::$level,
            sentence: $sentence,
            fix: $fix,
        }),+];
    };
}

catalogue! {
    AccountMissing "ACCOUNT_MISSING" Data Dependency Error
        "Not imported: this Opportunity has no Account."
        "Set the Account on the Opportunity."
    ContactMissing "CONTACT_MISSING" Data Dependency Error
        "Not imported: no Contact is attached."
        "Add a Contact role to the Opportunity and mark it Primary."
    PrimaryContactMissing "PRIMARY_CONTACT_MISSING" Data Dependency Error
        "Not imported: {n} attached, none is Primary."
        "Tick Primary on one of: {names}."
    PrimaryContactUnreadable "PRIMARY_CONTACT_UNREADABLE" Access Dependency Error
        "Not imported: the Primary Contact {id} cannot be read."
        "Restore the contact, or grant the integration user read access to it."
    ContactNameMissing "CONTACT_NAME_MISSING" Data Dependency Error
        "Not imported: the Primary Contact has no {field}."
        "Fill it in on the Contact, or set a default on its mapping."
    PartnerEmailBlank "PARTNER_EMAIL_BLANK" Data Dependency Error
        "Not imported: the field {label} is empty, so no owner is known."
        "Enter the partner user's email in {label}."
    PartnerEmailInvalid "PARTNER_EMAIL_INVALID" Data Dependency Error
        "Not imported: {value} is not an email address."
        "Correct {label}; one address only."
    PartnerUserUnknown "PARTNER_USER_UNKNOWN" Portal Dependency Error
        "Not imported: no portal user has {email}."
        "Invite the user, or correct the address."
    PartnerUserNotActive "PARTNER_USER_NOT_ACTIVE" Portal Dependency Error
        "Not imported: {email} exists but is {status}."
        "Pending: re-send the invitation. Inactive: reactivate the organisation. Disabled: enable the user."
    PartnerUserWrongType "PARTNER_USER_WRONG_TYPE" Data Dependency Error
        "Not imported: {email} is a user of type {type}; a Partner user is needed."
        "Use a partner user, or set Deal Owner Type to Distributor-owned."
    PartnerUserNoPermission "PARTNER_USER_NO_PERMISSION" Portal Dependency Error
        "Not imported: {email} may not own deals: the group {group} lacks Deal Registration."
        "Give the group the permission, or move the user to another group."
    PartnerUserAmbiguous "PARTNER_USER_AMBIGUOUS" Portal Dependency Error
        "Not imported: {n} users have {email}."
        "Merge or disable the extra users."
    DistEmailBlank "DIST_EMAIL_BLANK" Data Dependency Error
        "Not imported: Distributor-owned, but {label} is empty."
        "Enter the distributor user's email in {label}."
    DistEmailInvalid "DIST_EMAIL_INVALID" Data Dependency Error
        "Not imported: {value} is not an email address."
        "Correct {label}; one address only."
    DistUserUnknown "DIST_USER_UNKNOWN" Portal Dependency Error
        "Not imported: no portal user has {email}."
        "Invite the user, or correct the address."
    DistUserNotActive "DIST_USER_NOT_ACTIVE" Portal Dependency Error
        "Not imported: {email} exists but is {status}."
        "Pending: re-send the invitation. Inactive: reactivate the organisation. Disabled: enable the user."
    DistUserWrongType "DIST_USER_WRONG_TYPE" Data Dependency Error
        "Not imported: {email} is a user of type {type}; a Distributor user is needed."
        "Use a distributor user, or set Deal Owner Type to Partner-owned."
    DistUserNoPermission "DIST_USER_NO_PERMISSION" Portal Dependency Error
        "Not imported: {email} may not own deals: the group {group} lacks Deal Registration."
        "Give the group the permission, or move the user to another group."
    DistUserAmbiguous "DIST_USER_AMBIGUOUS" Portal Dependency Error
        "Not imported: {n} users have {email}."
        "Merge or disable the extra users."
    DistModuleOff "DIST_MODULE_OFF" Mapping Never Info
        "Imported for the partner: the owner type is Distributor-owned, but the Distributor module is off."
        "Enable the module, or change the value."
    OwnerTypeUnknown "OWNER_TYPE_UNKNOWN" Data Dependency Error
        "Not imported: {value} is not an owner type."
        "Use Partner-owned or Distributor-owned."
    PartnerRequiredForDist "PARTNER_REQUIRED_FOR_DIST" Data Dependency Error
        "Not imported: distributor deals need a partner here, and {label} is empty."
        "Enter the partner user's email, or make the partner optional in the Distributor settings."
    RequiredValueEmpty "REQUIRED_VALUE_EMPTY" Data Dependency Error
        "Not imported: {field} is required, and it is empty."
        "Fill it in on the Opportunity, or set a default on its mapping."
    RequiredMappingMissing "REQUIRED_MAPPING_MISSING" Mapping Dependency Error
        "Not imported: no mapping feeds {field}."
        "Add the mapping on the Deal to Opportunity tab."
    PicklistUnmappedIn "PICKLIST_UNMAPPED_IN" Mapping Dependency Error
        "Not imported: {value} in {field} has no match."
        "Map the value, or choose a default for unknown values."
    PicklistRejectedOut "PICKLIST_REJECTED_OUT" Mapping Dependency Error
        "Salesforce does not accept {value} for {field}."
        "Add the value to the picklist or record type, or map it to an allowed one."
    RecordTypeValue "RECORD_TYPE_VALUE" Mapping Dependency Error
        "{value} is not allowed for record type {type}."
        "Allow it for the record type, or map per record type."
    RecordTypeUnavailable "RECORD_TYPE_UNAVAILABLE" Access Dependency Error
        "Record type {name} cannot be used."
        "Assign it to the integration user, or pick another."
    TypeMismatch "TYPE_MISMATCH" Data Dependency Error
        "Not imported: {value} cannot become a {type}."
        "Correct it, or change the mapping."
    StringTooLong "STRING_TOO_LONG" Data Dependency Error
        "{field} takes {max} characters, the value has {n}."
        "Shorten it, raise the field's length, or allow cutting in the mapping."
    NumberOutOfRange "NUMBER_OUT_OF_RANGE" Mapping Dependency Error
        "{value} does not fit {field}."
        "Round in the mapping, or widen the field."
    DateInvalid "DATE_INVALID" Data Dependency Error
        "{value} is not a valid date."
        "Check the date's format and the time zone of the mapping."
    CurrencyMismatch "CURRENCY_MISMATCH" Mapping Dependency Error
        "{code} is not enabled on both sides."
        "Enable the currency, or set a conversion rule."
    ValidationRule "VALIDATION_RULE" Data Dependency Error
        "A Salesforce rule refused the change: \"{text}\"."
        "Fix the value, or exempt the integration user in the rule."
    RequiredFieldMissingSf "REQUIRED_FIELD_MISSING_SF" Mapping Dependency Error
        "Salesforce requires {fields}."
        "Map them, or send a fixed value."
    AutomationFailed "AUTOMATION_FAILED" Data Dependency Error
        "Salesforce automation stopped the save: \"{text}\"."
        "Send the text to your Salesforce administrator."
    DuplicateRule "DUPLICATE_RULE" Identity Manual Error
        "Salesforce found {n} possible duplicates."
        "Link to one of them, or allow saving duplicates for this connection."
    DuplicateValue "DUPLICATE_VALUE" Identity Manual Error
        "{value} is already used by {id}."
        "Link to that record, or correct the key."
    ExternalIdMultiple "EXTERNAL_ID_MULTIPLE" Identity Manual Error
        "The key {value} matches {n} records."
        "Make the field unique and merge the extras."
    MatchAmbiguous "MATCH_AMBIGUOUS" Identity Manual Error
        "Not imported: {n} {things} of this owner match {value}."
        "Merge them, or link one of them to the Salesforce record."
    AlreadyLinked "ALREADY_LINKED" Identity Manual Error
        "{id} is already linked to another deal."
        "Unlink it there, or pick another record."
    LeadConvertedNoOpp "LEAD_CONVERTED_NO_OPP" Identity Manual Error
        "The Lead was converted without an Opportunity."
        "Create or choose an Opportunity; the link moves to it."
    LeadConverted "LEAD_CONVERTED" Identity Auto Info
        "The Lead was converted: the link moved to the Opportunity {id}."
        "Nothing to do."
    RecordDeleted "RECORD_DELETED" Identity Dependency Warning
        "The linked record was deleted in Salesforce."
        "Restore it from the Recycle Bin, or unlink the deal."
    RecordMerged "RECORD_MERGED" Identity Auto Info
        "The record was merged into {id}; the link follows."
        "If that record is linked already, choose which deal keeps it."
    BadReference "BAD_REFERENCE" Data Dependency Error
        "{field} points to {id}, which cannot be used."
        "Correct the reference."
    OwnerInactiveSf "OWNER_INACTIVE_SF" Data Dependency Error
        "The Salesforce user {user} is inactive."
        "Reassign the record, or set a fallback owner."
    OwnerReassigned "OWNER_REASSIGNED" Mapping Never Info
        "The Lead's owner was set by an assignment rule, not by the mapping."
        "Turn assignment off for this integration, or drop the owner mapping."
    CrossRefAccess "CROSS_REF_ACCESS" Access Dependency Error
        "No access to the related {object} {id}."
        "Share that record with the integration user."
    ReadOnly "READ_ONLY" Access Dependency Error
        "The integration user may not edit {object}."
        "Add the permission to the integration user's permission set."
    FieldNotVisible "FIELD_NOT_VISIBLE" Access Dependency Error
        "{field} on {object} is not visible to the integration user."
        "Grant field-level security for it, then check the connection again."
    FieldGone "FIELD_GONE" Mapping Dependency Error
        "{field} no longer exists on {object}."
        "Map another field, or remove the mapping."
    FieldNotWriteable "FIELD_NOT_WRITEABLE" Mapping Dependency Error
        "{field} cannot be written."
        "Make the mapping one-way from Salesforce."
    ObjectNotAvailable "OBJECT_NOT_AVAILABLE" Access Dependency Error
        "{object} is not available in this org."
        "Check the edition, the licence and the object permission."
    RowLocked "ROW_LOCKED" Transient Auto Info
        "Salesforce was busy with this record; it is tried again."
        "Nothing; if it repeats, look for jobs on its parent."
    ConcurrentEdit "CONCURRENT_EDIT" Transient Auto Info
        "The record was edited in Salesforce meanwhile; it was worked out anew."
        "Nothing to do."
    ConflictBothChanged "CONFLICT_BOTH_CHANGED" Identity Manual Warning
        "{field} changed on both sides: Salesforce has {theirs}, the portal {ours}; kept {kept}."
        "Accept, or set the value you want; change the field's rule if it is wrong."
    LoopStopped "LOOP_STOPPED" Ours Manual Error
        "{field} was changed again and again by both systems."
        "Check the automation on both sides, then resume."
    AuthExpired "AUTH_EXPIRED" Access Pause Error
        "Salesforce access was withdrawn."
        "Connect again; if it repeats, look at the app's policies."
    AuthBad "AUTH_BAD" Access Pause Error
        "Salesforce refused the login: {text}."
        "Check the credentials, the environment, login hours and IP ranges."
    OauthScope "OAUTH_SCOPE" Access Pause Error
        "The app lacks a scope: {text}."
        "Add the scope, wait some minutes, connect again."
    ApiDisabled "API_DISABLED" Access Pause Error
        "This org or user has no API access."
        "Enable it, or use an edition that includes it."
    ApiLimit "API_LIMIT" Limit Auto Error
        "The org's API calls are used up; paused."
        "Lower the use of other apps, raise the limit, or wait."
    ApiConcurrency "API_CONCURRENCY" Limit Auto Info
        "Too many parallel calls; slowed down."
        "Nothing; consider fewer parallel jobs."
    BudgetReached "BUDGET_REACHED" Limit Auto Warning
        "Our share of {n} API calls a day is used."
        "Raise the share, or lengthen the interval."
    StorageFull "STORAGE_FULL" Limit Dependency Error
        "Salesforce storage is full."
        "Free space, or buy storage."
    ReplicationWindow "REPLICATION_WINDOW" Ours Auto Info
        "Too long offline for an incremental run; a full run was made."
        "Nothing to do."
    SfUnavailable "SF_UNAVAILABLE" Transient Auto Error
        "Salesforce did not answer: {text}."
        "Nothing; the run is tried again. If it lasts, see the status of your instance."
    WriteUnknown "WRITE_UNKNOWN" Transient Auto Info
        "The outcome of a write is unknown; it is looked up before it is tried again."
        "Nothing to do."
    RecordInApproval "RECORD_IN_APPROVAL" Data Dependency Error
        "The record is locked by an approval."
        "Wait for it, or exempt the integration user."
    ConversionPermission "CONVERSION_PERMISSION" Access Dependency Error
        "The Lead cannot be converted."
        "Grant Convert Leads, and create and edit on what it becomes."
    SyncFlagMissing "SYNC_FLAG_MISSING" Data Dependency Info
        "Ignored: {import_flag} is ticked, but {sync_flag} is not."
        "Tick both."
    OutOfScope "OUT_OF_SCOPE" Data Dependency Info
        "No longer synced: {flag} was cleared. The deal stays."
        "Tick the flag to resume."
    FlagFieldUnset "FLAG_FIELD_UNSET" Mapping Dependency Error
        "Import is on, but no import-flag field is chosen."
        "Choose it in the Deal Registration settings."
    TenantRuleRejected "TENANT_RULE_REJECTED" Data Dependency Error
        "Rule \"{rule}\": {text}"
        "As the rule says."
    TenantRuleCrashed "TENANT_RULE_CRASHED" Ours Manual Error
        "Rule \"{rule}\" v{version} failed: {text}."
        "Fix the rule or go back to its previous version; the record is untouched."
    MailFailed "MAIL_FAILED" Ours Auto Warning
        "The mail to {email} could not be delivered: {text}."
        "Check the address and the mail server."
    PartnerConflict "PARTNER_CONFLICT" Portal Manual Warning
        "Another partner registered {deal}."
        "Approve, deny, or split the credit."
    SandboxId "SANDBOX_ID" Mapping Dependency Error
        "{ref} belongs to another org."
        "Pick it again by name."
    OwnerEmailChanged "OWNER_EMAIL_CHANGED" Data Dependency Info
        "{field} now says {email}; the deal stays with {owner}."
        "Give the deal to the other user if that is meant."
    OwnerNowInactive "OWNER_NOW_INACTIVE" Portal Dependency Info
        "The owner {owner} is {status}; updates go on."
        "Give the deal to another user."
    UnlinkedByPerson "UNLINKED_BY_PERSON" Portal Manual Info
        "Not imported again: {user} removed this deal on {date}."
        "Link it or import it again by hand."
    OrgChanged "ORG_CHANGED" Mapping Pause Error
        "The login leads to org {new}, expected {old}; nothing was written."
        "Check the connection, or confirm the new org."
    MassChangeStopped "MASS_CHANGE_STOPPED" Access Manual Error
        "{n} of {m} linked records vanished at once; stopped before applying."
        "Check permissions and sharing, then confirm to go on."
    RecordUnreadable "RECORD_UNREADABLE" Data Dependency Error
        "Not imported: Salesforce's answer for this record could not be read: {text}."
        "Check the fields named; if they look right, report it with the request id."
}

impl Code {
    pub fn entry(self) -> &'static Entry {
        &CATALOGUE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.entry().name
    }

    pub fn from_name(name: &str) -> Option<Self> {
        CATALOGUE.iter().find(|entry| entry.name == name).map(|entry| entry.code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An entry of the catalogue as it applies to one record: what a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: Code,
    pub level: Level,
    pub message: String,
    pub fix: String,
    /// Which rule said it, and the raw words of Salesforce where there are any.
    pub detail: Option<String>,
    /// The portal field or Salesforce field it is about.
    pub field: Option<String>,
}

impl Reason {
    /// Fills the catalogue's sentence and fix. A placeholder without a value
    /// stays visible, which a test over the whole catalogue looks for.
    pub fn new(code: Code, values: &[(&str, &str)]) -> Self {
        let entry = code.entry();
        Self {
            code,
            level: entry.level,
            message: fill(entry.sentence, values),
            fix: fill(entry.fix, values),
            detail: None,
            field: None,
        }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Fix: {}", self.message, self.fix)
    }
}

fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let Some(close) = rest.find('}') else { break };
        match values.iter().find(|(name, _)| *name == &rest[1..close]) {
            Some((_, value)) => text.push_str(value),
            None => text.push_str(&rest[..=close]),
        }
        rest = &rest[close + 1..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_sentence_and_a_fix_that_end_like_sentences() {
        for (at, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.code as usize, at, "{}", entry.name);
            assert_eq!(Code::from_name(entry.name), Some(entry.code));
            assert!(entry.fix.ends_with('.'), "{}", entry.name);
            assert!(entry.sentence.len() > 20, "{}", entry.name);
        }
    }

    #[test]
    fn a_sentence_names_what_it_is_about() {
        let reason = Reason::new(Code::PartnerUserUnknown, &[("email", "dana@acme.example")]);
        assert_eq!(
            reason.to_string(),
            "Not imported: no portal user has dana@acme.example. Fix: Invite the user, or correct the address."
        );
    }
}
