//! What a refused call or row says: a code of the service, its text, the fields.

use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub fields: Vec<String>,
}

impl ApiError {
    /// A 400 that names no field.
    pub fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into(), fields: Vec::new() }
    }

    pub fn on(code: &'static str, message: impl Into<String>, field: &str) -> Self {
        Self { fields: vec![field.to_owned()], ..Self::bad(code, message) }
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn not_found() -> Self {
        Self::bad("NOT_FOUND", "The requested resource does not exist").status(404)
    }

    /// As the only entry of an error body: `[{"message","errorCode","fields"?}]`.
    pub fn body(&self) -> Value {
        let mut error = json!({"message": self.message, "errorCode": self.code});
        if !self.fields.is_empty() {
            error["fields"] = json!(self.fields);
        }
        json!([error])
    }

    /// As one row's result in a collection.
    pub fn row_result(&self) -> Value {
        json!({"success": false, "errors": [
            {"statusCode": self.code, "message": self.message, "fields": self.fields}
        ]})
    }
}
