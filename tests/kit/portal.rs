//! What people do in the portal itself, which has no way of its own into a test:
//! accounts and contacts that were there before, and deals edited by hand.

use dealsync_core::ids::SfId;
use dealsync_core::matching::normal_name;
use dealsync_core::people::normal_email;
use rusqlite::params;

use crate::World;

impl World {
    /// An account that an owner had before anything was imported.
    pub async fn portal_account(&self, owner: &str, name: &str) {
        let owner = self.store().await.user(owner).await.expect("the owner").id;
        let (id, now) = (self.app().fresh_id(), self.app().clock().now_micros());
        self.database()
            .execute(
                "INSERT INTO account (id, owner, name, name_key, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id.as_bytes(), owner.0.as_bytes(), name, normal_name(name), now],
            )
            .expect("an account");
    }

    /// A contact that an owner had before anything was imported.
    pub async fn portal_contact(&self, owner: &str, last_name: &str, email: &str) {
        let owner = self.store().await.user(owner).await.expect("the owner").id;
        let (id, now) = (self.app().fresh_id(), self.app().clock().now_micros());
        self.database()
            .execute(
                "INSERT INTO contact (id, owner, first_name, last_name, email, email_key, created_at)
                 VALUES (?1, ?2, '', ?3, ?4, ?5, ?6)",
                params![id.as_bytes(), owner.0.as_bytes(), last_name, email, normal_email(email), now],
            )
            .expect("a contact");
    }

    /// A person changes a field of the deal of a Salesforce record, now.
    pub fn portal_edit(&self, id: SfId, field: &str, value: &str) {
        let now = self.app().clock().now_micros();
        let changed = self
            .database()
            .execute(
                "UPDATE deal SET fields = json_set(fields, '$.' || ?2, ?3), updated_at = ?4
                 WHERE id = (SELECT deal FROM link WHERE sf_id = ?1)",
                params![id.as_str(), field, value, now],
            )
            .expect("an edit");
        assert_eq!(changed, 1, "{id} has a deal");
    }
}
