//! Turns the board into lines of text, without a terminal or a clock.

use super::{
    board::{Board, Task},
    words::{clean, padded, shortened, width},
};
use api::{TaskStatus, Tone, count};
use domain::{NanoDollars, run::RunState, task::TaskState};
use std::time::Duration;
use time::OffsetDateTime;

/// Size and colour of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) colour: bool,
    /// Whether keys are read.
    pub(crate) keys: bool,
}

/// Widest column of task keys.
const KEY_COLUMNS: usize = 24;
const COST_COLUMNS: usize = 9;
const TIME_COLUMNS: usize = 7;
/// Lines of the block that are not tasks: blank lines and the sums.
const FRAME_ROWS: usize = 4;

/// The first two lines of a run, once it has a plan.
pub(crate) fn header(board: &Board, look: Look) -> Vec<String> {
    let name = format!("Run {}  ", board.run.id.short());
    let budget = board.run.cap.map_or(String::new(), |cap| format!("  budget {cap}"));
    let room = look.columns.saturating_sub(width(&name) + width(&budget));
    let objective = shortened(&clean(&board.run.objective), room);
    let gap = " ".repeat(room.saturating_sub(width(&objective)));
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
    events.extend(board.check.as_ref().map(|check| clean(&api::check_text(check))));
    vec![first, shortened(&events.join("   "), look.columns)]
}

/// The block that is redrawn: unfinished tasks and the sums.
pub(crate) fn block(board: &Board, now: OffsetDateTime, look: Look) -> Vec<String> {
    let mut lines = vec![String::new()];
    let command = answer_command(board).map(|command| format!("  ! {command}"));
    let command_rows = command
        .as_ref()
        .map_or(0, |command| width(command).div_ceil(look.columns));
    let room = look.rows.saturating_sub(FRAME_ROWS + command_rows).max(1);
    let mut open: Vec<&Task> = board.tasks.iter().filter(|task| !task.state.is_final()).collect();
    let hidden = open.len().saturating_sub(room);
    if hidden > 0 {
        // Tasks in progress matter more than tasks that wait.
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
    lines.extend(command);
    lines
}

/// Where a person answers what they are asked. It is never shortened, so that it can be typed as it stands.
fn answer_command(board: &Board) -> Option<String> {
    let waiting: Vec<i64> = board.tasks.iter().filter_map(Task::waiting_merge).collect();
    match waiting.as_slice() {
        [] => None,
        [merge] => Some(board.invocation.command(&["merges", "show", &merge.to_string()])),
        [_, ..] => Some(board.invocation.command(&["merges"])),
    }
}

/// The line of a finished task, printed above the block.
pub(crate) fn finished_task(board: &Board, task: &Task, look: Look) -> String {
    task_line(board, task, task.ended_at.unwrap_or(OffsetDateTime::UNIX_EPOCH), look)
}

fn task_line(board: &Board, task: &Task, now: OffsetDateTime, look: Look) -> String {
    let key_columns = widest(board.tasks.iter().map(|task| task.key.0.as_str())).min(KEY_COLUMNS);
    let profile_columns = widest(board.tasks.iter().map(|task| task.profile.as_str())).min(10);
    let tone = status_of(board, task).tone();
    let key = shortened(&task.key.0, key_columns);
    let profile = shortened(&task.profile, profile_columns);
    let left = format!("{}  {}  ", padded(&key, key_columns), padded(&profile, profile_columns));
    let cost = if task.cost == NanoDollars::ZERO {
        String::new()
    } else {
        task.cost.to_string()
    };
    let time = task.started_at.map_or(String::new(), |start| {
        api::duration_text(between(start, task.ended_at.unwrap_or(now)))
    });
    let right = match tone == Tone::NeedsYou {
        // The request to a person needs the columns.
        true => String::new(),
        false => format!("{cost:>COST_COLUMNS$} {time:>TIME_COLUMNS$}"),
    };
    let room = look.columns.saturating_sub(4 + width(&left) + width(&right) + 1);
    let status = shortened(&status(board, task), room);
    format!(
        "  {} {left}{} {right}",
        paint(tone.sign(), colour(tone), look),
        padded(&status, room)
    )
    .trim_end()
    .to_owned()
}

/// What a task is doing, waiting for or came to, in the words of every interface.
fn status(board: &Board, task: &Task) -> String {
    let words = clean(&status_of(board, task).words());
    match task.state {
        TaskState::Complete => {
            let (attempts, turns) = (count(task.attempts, "attempt"), count(task.turns, "turn"));
            format!("{words}   {attempts}   {turns}")
        }
        TaskState::Planned
        | TaskState::Ready
        | TaskState::Active
        | TaskState::Merging
        | TaskState::Failed
        | TaskState::Cancelled => words,
    }
}

fn status_of(board: &Board, task: &Task) -> TaskStatus {
    let is_open = |key: &&domain::ids::TaskKey| {
        let parent = board.tasks.iter().find(|other| other.key == **key);
        parent.is_none_or(|parent| parent.state != TaskState::Complete)
    };
    task.status(task.waits_for.iter().filter(is_open).map(|key| key.0.clone()).collect())
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
        api::duration_text(between(board.run.created_at, board.run.ended_at.unwrap_or(now))),
    );
    let keys = if look.keys { "q detach · c cancel" } else { "" };
    let text = shortened(&text, look.columns);
    let room = look.columns.saturating_sub(width(&text));
    if room < width(keys) + 3 {
        text
    } else {
        format!("{text}{keys:>room$}").trim_end().to_owned()
    }
}

fn colour(tone: Tone) -> Colour {
    match tone {
        Tone::Waiting | Tone::Cancelled => Colour::Grey,
        Tone::Active => Colour::Blue,
        Tone::Merging => Colour::Violet,
        Tone::Complete => Colour::Green,
        Tone::NeedsYou => Colour::Amber,
        Tone::Failed => Colour::Red,
    }
}

/// Colours; each accompanies a mark or a word.
#[derive(Clone, Copy)]
enum Colour {
    Grey,
    Blue,
    Violet,
    Green,
    Amber,
    Red,
}

/// Terminal codes of the colours in their order, and the reset.
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
    texts.map(width).max().unwrap_or(0)
}

/// The time between two clocks that may differ: never negative.
fn between(start: OffsetDateTime, end: OffsetDateTime) -> Duration {
    Duration::try_from(end - start).unwrap_or_default()
}

#[cfg(test)]
mod tests;
