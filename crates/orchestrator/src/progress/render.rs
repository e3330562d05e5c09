//! The board as lines of text: nothing here touches a terminal or a clock.

use super::{
    board::{Board, Task},
    news::{check_words, count},
    words::{clean, elapsed, shortened},
};
use domain::{NanoDollars, merge::MergeState, run::RunState, task::TaskState};
use std::time::Duration;
use time::OffsetDateTime;

/// How wide, how tall and whether in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) colour: bool,
    /// Whether keys are listened to.
    pub(crate) keys: bool,
}

/// The longest key that gets a column of its own.
const KEY_COLUMNS: usize = 24;
const COST_COLUMNS: usize = 9;
const TIME_COLUMNS: usize = 7;
/// Lines of the block that are not tasks: blank lines and the sums.
const FRAME_ROWS: usize = 4;

/// The run's first two lines, once its plan is known.
pub(crate) fn header(board: &Board, look: Look) -> Vec<String> {
    let name = format!("Run {}  ", board.run.id.short());
    let budget = board.run.cap.map_or(String::new(), |cap| format!("  budget {cap}"));
    let room = look
        .columns
        .saturating_sub(name.chars().count() + budget.chars().count());
    let objective = shortened(&clean(&board.run.objective), room);
    let gap = " ".repeat(room.saturating_sub(objective.chars().count()));
    let first = if budget.is_empty() {
        format!("{name}{objective}")
    } else {
        format!("{name}{objective}{gap}{budget}")
    };
    let mut events = Vec::new();
    if let Some((base, branch)) = &board.base {
        events.push(format!("hub ready at {} ({branch})", base.short()));
    }
    if let Some(plan) = board.plan {
        let size = format!("{}, {}", count(plan.tasks, "task"), count(plan.levels, "level"));
        events.push(format!("plan v{}: {size}", plan.version));
    }
    events.extend(board.check.as_ref().map(check_words));
    vec![first, shortened(&events.join("   "), look.columns)]
}

/// What is redrawn: the tasks that are not finished, and the sums.
pub(crate) fn block(board: &Board, now: OffsetDateTime, look: Look) -> Vec<String> {
    let mut lines = vec![String::new()];
    let room = look.rows.saturating_sub(FRAME_ROWS).max(1);
    let mut open: Vec<&Task> = board.tasks.iter().filter(|task| !task.state.is_final()).collect();
    let hidden = open.len().saturating_sub(room);
    if hidden > 0 {
        // What moves is worth more than what waits.
        open.sort_by_key(|task| match task.state {
            TaskState::Active | TaskState::Merging => 0,
            TaskState::Ready => 1,
            _ => 2,
        });
        open.truncate(room - 1);
    }
    lines.extend(open.into_iter().map(|task| task_line(board, task, now, look)));
    if hidden > 0 {
        lines.push(paint(&format!("  … and {} more wait", hidden + 1), Colour::Grey, look));
    }
    if !board.doing.is_empty() {
        lines.push(format!(
            "  {}",
            paint(
                &shortened(&board.doing, look.columns.saturating_sub(2)),
                Colour::Blue,
                look
            )
        ));
    }
    if lines.len() > 1 {
        lines.push(String::new());
    }
    lines.push(sums(board, now, look));
    lines
}

/// The line of a task that is finished, to scroll away above the block.
pub(crate) fn finished_task(board: &Board, task: &Task, look: Look) -> String {
    task_line(board, task, task.ended_at.unwrap_or(OffsetDateTime::UNIX_EPOCH), look)
}

fn task_line(board: &Board, task: &Task, now: OffsetDateTime, look: Look) -> String {
    let key_columns = widest(board.tasks.iter().map(|task| task.key.0.as_str())).min(KEY_COLUMNS);
    let profile_columns = widest(board.tasks.iter().map(|task| task.profile.as_str())).min(10);
    let (mark, colour) = mark(task);
    let key = shortened(&task.key.0, key_columns);
    let profile = shortened(&task.profile, profile_columns);
    let left = format!("{key:<key_columns$}  {profile:<profile_columns$}  ");
    let cost = if task.cost == NanoDollars::ZERO {
        String::new()
    } else {
        task.cost.to_string()
    };
    let time = task.started_at.map_or(String::new(), |start| {
        elapsed(between(start, task.ended_at.unwrap_or(now)))
    });
    let right = match asks(task) {
        // What a person is to do needs the room.
        true => String::new(),
        false => format!("{cost:>COST_COLUMNS$} {time:>TIME_COLUMNS$}"),
    };
    let room = look
        .columns
        .saturating_sub(4 + left.chars().count() + right.chars().count() + 1);
    let status = shortened(&status(board, task, room), room);
    format!("  {} {left}{status:<room$} {right}", paint(mark, colour, look))
        .trim_end()
        .to_owned()
}

/// What a task does, or what it waits for.
fn status(board: &Board, task: &Task, room: usize) -> String {
    let reason = || {
        task.reason
            .as_ref()
            .map(|reason| clean(&reason.message))
            .unwrap_or_default()
    };
    match task.state {
        TaskState::Planned => {
            let open = |key: &&domain::ids::TaskKey| {
                let parent = board.tasks.iter().find(|other| other.key == **key);
                parent.is_none_or(|parent| parent.state != TaskState::Complete)
            };
            let parents: Vec<&str> = task.waits_for.iter().filter(open).map(|key| key.0.as_str()).collect();
            if parents.is_empty() {
                "planned".to_owned()
            } else {
                format!("waits for {}", parents.join(", "))
            }
        }
        TaskState::Ready if task.reason.is_some() => format!("goes back: {}", reason()),
        TaskState::Ready => "waits for a free worker".to_owned(),
        TaskState::Active => {
            let attempt = if task.attempts > 1 {
                format!("attempt {} · ", task.attempts)
            } else {
                String::new()
            };
            format!("{attempt}turn {} · {}", task.turn.max(1), task.doing)
        }
        TaskState::Merging => merging(task, room),
        TaskState::Complete => {
            let landed = task.commit.as_ref().map_or_else(
                || "complete, nothing had to change".to_owned(),
                |commit| format!("landed {}", commit.short()),
            );
            format!(
                "{landed}   {}   {}",
                count(task.attempts, "attempt"),
                count(task.turns, "turn")
            )
        }
        TaskState::Failed => format!("failed: {}", reason()),
        TaskState::Cancelled => format!("cancelled: {}", reason()),
    }
}

fn merging(task: &Task, room: usize) -> String {
    match task.merge {
        MergeState::Queued => "waits for its merge".to_owned(),
        MergeState::Merging => "merging".to_owned(),
        MergeState::Resolving => format!("merging: conflict in {}, resolver at work", task.conflicts.join(", ")),
        MergeState::Verifying if task.conflicts.is_empty() => "merged, the gate runs".to_owned(),
        MergeState::Verifying => format!("conflict in {} resolved, the gate runs", task.conflicts.join(", ")),
        MergeState::Waiting => waiting(task, room),
        MergeState::Landed => "landing".to_owned(),
        MergeState::Rejected | MergeState::Error => "its merge was refused".to_owned(),
    }
}

/// What a person is asked; where that does not fit, the command goes first.
fn waiting(task: &Task, room: usize) -> String {
    let about = format!("conflict in {}", task.conflicts.join(", "));
    let command = task.asks.map_or_else(
        || "orchestrator merges".to_owned(),
        |merge| format!("orchestrator merges show {merge}"),
    );
    let whole = format!("waits for you: {about} · {command}");
    match whole.chars().count() <= room {
        true => whole,
        false => format!("waits for you: {command} · {about}"),
    }
}

fn asks(task: &Task) -> bool {
    task.state == TaskState::Merging && task.merge == MergeState::Waiting
}

fn sums(board: &Board, now: OffsetDateTime, look: Look) -> String {
    let slots = board.run.slots.map_or(String::new(), |slots| format!("/{slots}"));
    let spent: NanoDollars = board.tasks.iter().map(|task| task.cost).sum();
    let state = match board.run.state {
        RunState::Planning => "planning   ",
        RunState::Delivering => "delivering   ",
        RunState::Running | RunState::Complete | RunState::Failed | RunState::Cancelled => "",
    };
    let text = format!(
        "  {state}active {}{slots}   merges {}   landed {}/{}   spent {}   {}",
        board.count(TaskState::Active),
        board.count(TaskState::Merging),
        board.landed,
        board.total(),
        spent.max(board.run.spent),
        elapsed(between(board.run.created_at, board.run.ended_at.unwrap_or(now))),
    );
    let keys = if look.keys { "q detach · c cancel" } else { "" };
    let text = shortened(&text, look.columns);
    let room = look.columns.saturating_sub(text.chars().count());
    if room < keys.chars().count() + 3 {
        text
    } else {
        format!("{text}{keys:>room$}").trim_end().to_owned()
    }
}

fn mark(task: &Task) -> (&'static str, Colour) {
    if asks(task) {
        return ("!", Colour::Amber);
    }
    match task.state {
        TaskState::Planned | TaskState::Ready => ("○", Colour::Grey),
        TaskState::Active => ("●", Colour::Blue),
        TaskState::Merging => ("◆", Colour::Violet),
        TaskState::Complete => ("✓", Colour::Green),
        TaskState::Failed => ("✗", Colour::Red),
        TaskState::Cancelled => ("–", Colour::Grey),
    }
}

/// Colours have meaning only, and are never the only sign.
#[derive(Clone, Copy)]
enum Colour {
    Grey,
    Blue,
    Violet,
    Green,
    Amber,
    Red,
}

/// What is written for each colour, in their order, and at its end.
pub(super) const COLOUR_CODES: [&str; 7] = [
    "\u{1b}[90m",
    "\u{1b}[34m",
    "\u{1b}[35m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[31m",
    "\u{1b}[0m",
];

fn paint(text: &str, colour: Colour, look: Look) -> String {
    if !look.colour {
        return text.to_owned();
    }
    format!("{}{text}{}", COLOUR_CODES[colour as usize], COLOUR_CODES[6])
}

fn widest<'text>(texts: impl Iterator<Item = &'text str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

/// The clocks of the database and of this machine may differ; no time is shown as negative.
fn between(start: OffsetDateTime, end: OffsetDateTime) -> Duration {
    Duration::try_from(end - start).unwrap_or_default()
}

#[cfg(test)]
mod tests;
