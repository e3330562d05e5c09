//! What happens to requests to our own API.

use crate::catalogue::http::{DURATION, ERRORS, REQUESTS, SIZE};
use std::time::Duration;

/// From this status on a request counts as an error.
const FIRST_ERROR_STATUS: u16 = 400;

/// A request was answered. `endpoint` is the matched route, never the raw path; `unmatched` if there was none.
pub fn request(method: &str, endpoint: &str, status: u16, duration: Duration, request_bytes: u64) {
    let code = status.to_string();
    REQUESTS.add(1, [method, endpoint, &code]);
    if status >= FIRST_ERROR_STATUS {
        ERRORS.add(1, [method, endpoint, &code]);
    }
    DURATION.observe(duration, [method, endpoint]);
    SIZE.observe_value(request_bytes as f64, [method, endpoint]);
}
