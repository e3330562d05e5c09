//! Events of the engine's effects, which are the tasks of its queue.

use crate::catalogue::{
    compatibility::{CELERY_ACTIVE, CELERY_DURATION, CELERY_LENGTH, CELERY_RETRIES, CELERY_TASKS},
    queue::{ACTIVE, DURATION, LENGTH, RETRIES, TASKS},
};
use std::time::Instant;

/// A running effect. Dropping it without a result counts as cancelled: it is claimed again later.
#[derive(Debug)]
#[must_use = "the effect counts as cancelled when this is dropped"]
pub struct EffectRunning {
    task_name: &'static str,
    started: Instant,
    status: &'static str,
}

/// An effect is being performed: `prepare`, `plan`, `work`, `merge` or `deliver`.
pub fn started(task_name: &'static str) -> EffectRunning {
    change_active(task_name, 1);
    EffectRunning {
        task_name,
        started: Instant::now(),
        status: "cancelled",
    }
}

impl EffectRunning {
    /// The effect was performed and its outcome posted.
    pub fn succeeded(mut self) {
        self.status = "success";
    }

    /// The effect failed.
    pub fn failed(mut self) {
        self.status = "failure";
    }
}

impl Drop for EffectRunning {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        change_active(self.task_name, -1);
        TASKS.add(1, [self.task_name, self.status]);
        CELERY_TASKS.add(1, [self.task_name, self.status]);
        DURATION.observe(duration, [self.task_name]);
        CELERY_DURATION.observe(duration, [self.task_name]);
    }
}

fn change_active(task_name: &str, by: i64) {
    ACTIVE.change(by, [task_name]);
    CELERY_ACTIVE.change(by, [task_name]);
}

/// This many effects of a kind wait or run, according to the database; for `work`, only those that wait.
pub fn length(queue: &'static str, effects: i64) {
    LENGTH.set(effects as f64, [queue]);
    CELERY_LENGTH.set(effects as f64, [queue]);
}

/// An effect was claimed again.
pub fn retried(task_name: &'static str) {
    RETRIES.add(1, [task_name]);
    CELERY_RETRIES.add(1, [task_name]);
}
