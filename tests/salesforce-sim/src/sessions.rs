//! Access tokens: whom they belong to and how long they live.

use std::collections::HashMap;

use crate::orgfile::{App, OrgFile};

#[derive(Debug)]
pub(crate) struct Sessions {
    pub apps: Vec<App>,
    tokens: HashMap<String, Session>,
    made: u64,
    seconds: Option<i64>,
    calls: Option<u64>,
    /// Counted calls of the current day.
    used: u64,
    day: i64,
    daily_limit: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub username: String,
    expires_at: Option<i64>,
    calls_left: Option<u64>,
}

impl Sessions {
    pub fn new(file: &OrgFile) -> Self {
        Self {
            apps: file.apps(),
            tokens: HashMap::new(),
            made: 0,
            seconds: file.session.seconds,
            calls: file.session.calls,
            used: 0,
            day: 0,
            daily_limit: file.daily_api_limit,
        }
    }

    /// A new token for this user.
    pub fn open(&mut self, org_id: &str, username: &str, now: i64) -> String {
        self.made += 1;
        let mut tail = [0u8; 12];
        crate::ids::write_base62(&mut tail, self.made.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let tail = String::from_utf8_lossy(&tail);
        let token = format!("{}!AQ.{tail}.{:06}", &org_id[..15], self.made);
        let session = Session {
            username: username.to_owned(),
            expires_at: self.seconds.map(|seconds| now + seconds),
            calls_left: self.calls,
        };
        self.tokens.insert(token.clone(), session);
        token
    }

    /// The session of a token that still holds; counts the call.
    pub fn check(&mut self, token: &str, now: i64) -> Option<Session> {
        let session = self.tokens.get_mut(token)?;
        let spent = session.expires_at.is_some_and(|end| now >= end) || session.calls_left == Some(0);
        if spent {
            self.tokens.remove(token);
            return None;
        }
        session.calls_left = session.calls_left.map(|left| left - 1);
        Some(session.clone())
    }

    pub fn close(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    pub fn expire_all(&mut self) {
        self.tokens.clear();
    }

    /// Counts a call against the day. False when the day's calls are spent.
    pub fn count_call(&mut self, now: i64) -> bool {
        let day = now.div_euclid(86_400);
        if day != self.day {
            self.day = day;
            self.used = 0;
        }
        if self.used >= self.daily_limit {
            return false;
        }
        self.used += 1;
        true
    }

    /// Used and allowed calls of the day.
    pub fn usage(&self) -> (u64, u64) {
        (self.used, self.daily_limit)
    }

    pub fn set_usage(&mut self, used: Option<u64>, limit: Option<u64>, now: i64) {
        self.day = now.div_euclid(86_400);
        self.used = used.unwrap_or(self.used);
        self.daily_limit = limit.unwrap_or(self.daily_limit);
    }
}
