//! Follows a run to its end: reads events, updates the board, shows progress.

use crate::{
    client::{Attached, failure},
    config::Loaded,
    failure::Failure,
    output,
    progress::{Board, Entry, Key, Keys, RunDetails, Screen, TaskDetails, block, finished_task, header, news},
};
use api::{ClientError, Event, Run};
use domain::{NanoDollars, RunId, event, run::RunState};
use std::{
    collections::BTreeSet,
    pin::pin,
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// Longest time between two frames, for the clocks in them.
const CLOCK: Duration = Duration::from_secs(1);
/// Time between two requests for what events don't carry, such as the director's cost.
const LOOK: Duration = Duration::from_secs(2);
/// How long a second key press confirms the first.
const CONFIRMATION: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A block that is redrawn if standard output is a terminal, else lines.
    People,
    /// Lines on standard error: standard output is for a document.
    Document,
    /// Nothing.
    Quiet,
}

/// Which events become lines. Earlier ones show in the state of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// All: the run was just submitted.
    Beginning,
    /// New ones.
    Now,
}

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Over(RunState),
    /// The person left before the run ended.
    Detached,
}

/// Follows a run. If the server goes away, continues with its successor or in this process.
pub(crate) async fn follow(
    mut attached: Attached,
    loaded: &Loaded,
    run: &str,
    since: Since,
    mode: Mode,
) -> Result<(Attached, Ending), Failure> {
    let look = attached.client.run(run).await.map_err(failure)?;
    let id = look.id;
    if since == Since::Now && look.state.is_final() {
        return Ok((attached, Ending::Over(look.state)));
    }
    let known = match since {
        Since::Beginning => 0,
        Since::Now => look.last_event,
    };
    let mut follower = Follower {
        known,
        board: Board::new(run_details(&look), loaded.invocation.clone()),
        view: View::open(mode),
        asked: None,
    };
    follower.view.begin(&follower.board);
    let mut interrupts = Interrupts::new()?;
    loop {
        match follower.session(&attached, id, &mut interrupts).await? {
            Session::Ended(ending) => {
                follower.view.end(&follower.board);
                return Ok((attached, ending));
            }
            Session::Lost => attached = attached.again(loaded).await?,
        }
    }
}

/// How one connection ended.
enum Session {
    Ended(Ending),
    Lost,
}

struct Follower {
    /// The last event that needs no line.
    known: i64,
    board: Board,
    view: View,
    /// When the person first asked to cancel.
    asked: Option<Instant>,
}

impl Follower {
    async fn session(
        &mut self,
        attached: &Attached,
        id: RunId,
        interrupts: &mut Interrupts,
    ) -> Result<Session, Failure> {
        let mut events = attached.client.events(id, self.board.seq);
        let (mut frames, mut looks) = (tokio::time::interval(FRAME), tokio::time::interval(LOOK));
        loop {
            // Kept across ticks: a wait that restarts with each tick might never end.
            let mut next = pin!(events.next());
            let event = loop {
                tokio::select! {
                    event = &mut next => break event,
                    _ = looks.tick() => match attached.client.run(&id.to_string()).await {
                        Ok(run) => self.board.look(run_details(&run)),
                        Err(ClientError::Unreachable { .. }) => return Ok(Session::Lost),
                        Err(error) => return Err(failure(error)),
                    },
                    _ = frames.tick() => self.view.frame(&self.board, self.is_asking()),
                    key = self.view.key() => if let Some(ending) = self.key(key, attached, id).await? {
                        return Ok(Session::Ended(ending));
                    },
                    () = interrupts.next() => return Ok(Session::Ended(Ending::Detached)),
                }
            };
            match event {
                Some(Ok(event)) => self.event(attached, id, event).await?,
                Some(Err(ClientError::Unreachable { .. })) => return Ok(Session::Lost),
                Some(Err(error)) => return Err(failure(error)),
                None => return self.finish(attached, id).await,
            }
        }
    }

    async fn event(&mut self, attached: &Attached, id: RunId, event: Event) -> Result<(), Failure> {
        let Some(entry) = entry(&event) else {
            // A kind of event of a newer server; its number still counts.
            self.board.seq = self.board.seq.max(event.seq);
            return Ok(());
        };
        self.board.apply(&entry);
        if self.board.wants_tasks() || matches!(entry.event, event::Event::PlanSaved { .. }) {
            let list = attached.client.tasks(&id.to_string()).await.map_err(failure)?;
            self.board
                .look_at_tasks(list.tasks.into_iter().map(task_details).collect());
        }
        self.view.news(&self.board, &entry, entry.seq > self.known);
        Ok(())
    }

    /// The event stream has ended; the run itself decides whether it is over.
    async fn finish(&mut self, attached: &Attached, id: RunId) -> Result<Session, Failure> {
        match attached.client.run(&id.to_string()).await {
            Ok(run) if run.state.is_final() => {
                self.board.look(run_details(&run));
                Ok(Session::Ended(Ending::Over(run.state)))
            }
            // A server that stops ends its streams early.
            Ok(_) | Err(ClientError::Unreachable { .. }) => Ok(Session::Lost),
            Err(error) => Err(failure(error)),
        }
    }

    async fn key(&mut self, key: Key, attached: &Attached, id: RunId) -> Result<Option<Ending>, Failure> {
        match key {
            Key::Detach => return Ok(Some(Ending::Detached)),
            Key::Cancel if self.is_asking() => {
                self.asked = None;
                attached.client.cancel(&id.to_string()).await.map_err(failure)?;
                self.board.doing = "cancelling; landed work stays".to_owned();
            }
            Key::Cancel => self.asked = Some(Instant::now()),
            Key::Other => self.asked = None,
        }
        Ok(None)
    }

    fn is_asking(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < CONFIRMATION)
    }
}

/// Signals that ask this process to stop.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on these signals don't end the process by themselves.
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::environment("the process can't listen for signals").caused_by(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Where progress goes.
enum View {
    Screen(Box<Live>),
    Lines { to_output: bool },
    Nothing,
}

struct Live {
    screen: Screen,
    keys: Option<Keys>,
    /// Lines to print above the block.
    above: Vec<String>,
    shown: BTreeSet<String>,
    has_header: bool,
    drawn_at: Option<Instant>,
    changed: bool,
}

impl View {
    fn open(mode: Mode) -> Self {
        match mode {
            Mode::Quiet => Self::Nothing,
            Mode::Document => Self::Lines { to_output: false },
            Mode::People => {
                let keys = Keys::read();
                match Screen::open(keys.is_some()) {
                    Some(screen) => Self::Screen(Box::new(Live {
                        screen,
                        keys,
                        above: Vec::new(),
                        shown: BTreeSet::new(),
                        has_header: false,
                        drawn_at: None,
                        changed: true,
                    })),
                    None => Self::Lines { to_output: true },
                }
            }
        }
    }

    fn begin(&self, board: &Board) {
        if let Self::Lines { to_output } = self {
            print(*to_output, &format!("run {}", board.run.id));
        }
    }

    /// Shows an event that the board has applied.
    fn news(&mut self, board: &Board, entry: &Entry, is_new: bool) {
        match self {
            Self::Nothing => {}
            Self::Lines { to_output } => {
                if let Some(news) = news(entry, &board.invocation).filter(|_| is_new) {
                    let since = Duration::try_from(entry.at - board.run.created_at).unwrap_or_default();
                    print(
                        *to_output,
                        &format!("{:>8}  {news}", format!("+{}", api::duration_text(since))),
                    );
                }
            }
            Self::Screen(live) => live.take_in(board),
        }
    }

    fn frame(&mut self, board: &Board, asking: bool) {
        if let Self::Screen(live) = self {
            live.frame(board, asking);
        }
    }

    async fn key(&mut self) -> Key {
        if let Self::Screen(live) = self
            && let Some(keys) = &mut live.keys
            && let Some(key) = keys.next().await
        {
            return key;
        }
        std::future::pending().await
    }

    /// Draws the last frame: what happened, without the block.
    fn end(&mut self, board: &Board) {
        if let Self::Screen(live) = self {
            live.take_in(board);
            live.keys = None;
            live.draw(&[]);
        }
    }
}

impl Live {
    fn take_in(&mut self, board: &Board) {
        self.changed = true;
        let look = self.screen.look();
        if !self.has_header && (board.plan.is_some() || board.run.state.is_final()) {
            self.has_header = true;
            self.above.extend(header(board, look));
            self.above.push(String::new());
        }
        if !self.has_header {
            return;
        }
        for task in board.tasks.iter().filter(|task| task.state.is_final()) {
            if self.shown.insert(task.key.0.clone()) {
                self.above.push(finished_task(board, task, look));
            }
        }
    }

    fn frame(&mut self, board: &Board, asking: bool) {
        let late = self.drawn_at.is_none_or(|drawn| drawn.elapsed() >= CLOCK);
        if !self.changed && !late && !asking {
            return;
        }
        let mut lines = block(board, OffsetDateTime::now_utc(), self.screen.look());
        if asking {
            lines.push("  cancel this run? press c again to confirm, any other key to continue".to_owned());
        }
        self.draw(&lines);
    }

    fn draw(&mut self, lines: &[String]) {
        let above = std::mem::take(&mut self.above);
        if let Err(error) = self.screen.draw(&above, lines) {
            tracing::debug!(%error, "the terminal could not be drawn on");
        }
        self.changed = false;
        self.drawn_at = Some(Instant::now());
    }
}

fn print(to_output: bool, text: &str) {
    if to_output {
        // A closed output is noticed when the result is printed.
        output::line(text).unwrap_or_default();
    } else {
        output::note(text);
    }
}

pub(crate) fn entry(event: &Event) -> Option<Entry> {
    Some(Entry {
        seq: event.seq,
        at: event.at,
        task: event.task.as_deref().map(Into::into),
        event: event.known()?,
    })
}

fn run_details(run: &Run) -> RunDetails {
    RunDetails {
        id: run.id,
        objective: run.objective.clone(),
        state: run.state,
        reason: run
            .reason
            .as_ref()
            .map(|reason| domain::run::Reason::new(reason.code, &reason.message)),
        cap: run.cost.max_cost.map(|cap| NanoDollars(cap.nanodollars)),
        spent: NanoDollars(run.cost_nanodollars),
        slots: None,
        created_at: run.created_at,
        ended_at: run.ended_at,
    }
}

fn task_details(task: api::Task) -> TaskDetails {
    TaskDetails {
        key: task.key.as_str().into(),
        profile: task.profile,
        waits_for: task.depends_on.iter().map(|key| key.as_str().into()).collect(),
    }
}
