-- The first shape of everything. Times are the database's own clock. No index stands on a column that the hot
-- path updates (state, counters, leases): such an index makes every update of the row write every index.

create table process (
    id          bigint generated always as identity primary key,
    name        text        not null unique,           -- the data directory: one process at a time holds its lock
    epoch       bigint      not null default 1,        -- grows with each start: leases of an older epoch are void
    host        text        not null,
    pid         integer     not null,
    version     text        not null,
    draining    boolean     not null default false,
    started_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    cleaned_at  timestamptz                            -- what old runs left in the data directory was last looked for
);

create table workspace (
    id          bigint generated always as identity primary key,
    path        text        not null unique,           -- the user's repository, canonical
    hub         text        not null unique,           -- the name of its hub under the data directory
    created_at  timestamptz not null default now()
);

create table run (
    id                uuid        primary key,
    idempotency_key   text        unique,
    request           jsonb       not null,            -- the request as it was accepted, for a repeat to compare with
    workspace         bigint      not null references workspace (id),
    objective         text        not null,
    director_provider text        not null,
    director_model    text        not null,
    worker_provider   text        not null,
    worker_model      text        not null,
    state             text        not null default 'planning',
    reason            jsonb,
    limits            jsonb       not null,
    check_asked       text,                            -- the check command the request named
    check_command     text,
    check_source      text,
    base              text,
    base_branch       text,
    branch            text        not null,            -- the branch in the user's repository
    plan              jsonb,
    plan_version      integer     not null default 0,
    delivered_commit  text,
    checkout          text,                            -- what delivery did with the user's checkout, in words
    delivery          jsonb       not null default '{}',   -- what came of each step of handing the work over
    weight            double precision not null default 1,
    vtime             double precision not null default 0,
    max_active        bigint      not null,
    open              bigint      not null default 0,
    active            bigint      not null default 0,
    ready             bigint      not null default 0,
    failed            bigint      not null default 0,
    event_seq         bigint      not null default 0,
    trace             jsonb       not null,            -- the trace context of the run's root span
    created_at        timestamptz not null default now(),
    deadline_at       timestamptz not null,
    ended_at          timestamptz,
    expired_at        timestamptz                      -- its trees and outputs were given up by retention
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
create index run_created on run (created_at desc, id desc);
-- What is asked again and again concerns runs under way, however many have ended. `ended_at` changes once in a life.
create index run_open on run (id) where ended_at is null;

-- Apart from the run's row, so that reserving money never waits for a step.
create table budget (
    run       uuid   primary key references run (id) on delete cascade,
    cap       bigint,                                   -- nano-dollars; null for no cap
    spent     bigint not null default 0,
    reserved  bigint not null default 0
) with (fillfactor = 50);

create table task (
    id          bigint generated always as identity primary key,
    run         uuid        not null references run (id) on delete cascade,
    key         text        not null,
    ordinal     integer     not null,                  -- its place in the plan
    title       text        not null,
    profile     text        not null,
    change      text        not null,
    spec        jsonb       not null,                  -- the task as the plan has it
    state       text        not null,
    claimable   boolean     not null default false,
    pending     bigint      not null default 0,
    priority    bigint      not null default 0,
    fence       bigint      not null default 0,
    attempt     integer     not null default 0,        -- claims so far
    failures    integer     not null default 0,
    crashes     integer     not null default 0,
    resume      boolean     not null default false,    -- the next claim goes on with the last attempt
    process     bigint,
    epoch       bigint,
    wake_at     timestamptz,                           -- not claimed before
    reason      jsonb,
    feedback    jsonb,                                 -- what the last try was told: reason, gate output, conflict
    commit      text,                                  -- the merge commit that landed its work
    ready_at    timestamptz,
    started_at  timestamptz,
    ended_at    timestamptz,
    created_at  timestamptz not null default now(),
    unique (run, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index task_claim on task (run, priority desc, id) where claimable;

create table dependency (
    parent bigint not null references task (id) on delete cascade,
    child  bigint not null references task (id) on delete cascade,
    primary key (parent, child)
);
create index dependency_child on dependency (child);

create table attempt (
    id          bigint generated always as identity primary key,
    run         uuid        not null references run (id) on delete cascade,
    task        bigint      not null references task (id) on delete cascade,
    number      integer     not null,
    fence       bigint      not null,
    base        text,                                  -- the integration tip it started from
    snapshot    text,                                  -- the newest commit of its chain of snapshots
    commit      text,                                  -- the frozen commit it submitted
    finish      jsonb,                                 -- the worker's own report
    finish_end  jsonb,                                 -- how it ended
    started_at  timestamptz not null default now(),
    claimed_at  timestamptz not null default now(),    -- under the present fence
    ended_at    timestamptz,
    unique (task, number)
);
create index attempt_run on attempt (run);

create table turn (
    attempt       bigint      not null references attempt (id) on delete cascade,
    number        integer     not null,
    assistant     jsonb       not null,                -- the model's message, as it is replayed
    model         text        not null,
    input_tokens  bigint      not null,
    output_tokens bigint      not null,
    cost          bigint,                              -- nano-dollars; null where the model has no price
    answered_at   timestamptz not null default now(),
    ended_at      timestamptz,                         -- the tree was snapshotted after its last tool
    primary key (attempt, number)
);

create table tool_call (
    attempt     bigint      not null,
    turn        integer     not null,
    ordinal     integer     not null,
    call_id     text        not null,
    name        text        not null,
    arguments   text        not null,
    summary     text        not null,
    intended_at timestamptz not null default now(),
    result      text,
    ok          boolean,
    ended_at    timestamptz,
    primary key (attempt, turn, ordinal),
    foreign key (attempt, turn) references turn (attempt, number) on delete cascade
);

-- The ledger: every call to a model, reserved before it is made.
create table model_call (
    id              bigint generated always as identity primary key,
    run             uuid        not null references run (id) on delete cascade,
    task            bigint      references task (id) on delete cascade,
    attempt         bigint      references attempt (id) on delete cascade,
    role            text        not null,
    provider        text        not null,
    model_asked     text        not null,
    model           text,                              -- the one that really answered
    state           text        not null default 'reserved',   -- reserved, settled, lost
    status          text,
    reserved        bigint      not null,              -- nano-dollars
    cost            bigint,                            -- nano-dollars; null where the model has no price
    input_tokens    bigint,
    output_tokens   bigint,
    cached_tokens   bigint,
    reasoning_tokens bigint,
    requests        integer,                           -- HTTP requests it took
    duration_ms     bigint,
    first_token_ms  bigint,
    error           text,
    process         bigint      not null,
    epoch           bigint      not null,
    reserved_at     timestamptz not null default now(),
    settled_at      timestamptz
);
create index model_call_run on model_call (run);
create index model_call_open on model_call (id) where settled_at is null;

create table merge (
    id           bigint generated always as identity primary key,
    run          uuid        not null references run (id) on delete cascade,
    task         bigint      not null references task (id) on delete cascade,
    attempt      integer     not null,
    commit       text        not null,                 -- the frozen work
    state        text        not null default 'queued',
    tip          text,                                 -- the integration tip it was merged onto
    merged       text,                                 -- the merge commit
    tree         text,                                 -- the tree that was validated, and that lands
    how          text,                                 -- already, fast, ort
    conflicts    jsonb       not null default '[]',    -- path, kind and the three blobs of each conflict
    gate         jsonb,                                -- verdict, command, exit, counts, duration, output
    begun        integer     not null default 0,       -- how often a merger took it up
    round        integer     not null default 0,       -- how often its conflict went through the layers
    intent_fence bigint,
    intent_place integer,                              -- its place among those that land in the same move of the branch
    intended_at  timestamptz,
    reason       jsonb,
    wait_ms      bigint,
    merge_ms     bigint,                               -- merging, resolving and landing, without the gate
    queued_at    timestamptz not null default now(),
    started_at   timestamptz,
    asked_at     timestamptz,                          -- since when it waits for a person
    ended_at     timestamptz,
    unique (run, task, commit)
);
create index merge_open on merge (run, id) where ended_at is null;
create index merge_run on merge (run);

create table resolution (
    id          bigint generated always as identity primary key,
    merge       bigint      not null references merge (id) on delete cascade,
    round       integer     not null,                  -- of its merge: those of the last stand, the others are history
    path        text        not null,
    hunk        integer     not null,                  -- 1 for the first of the file; 0 for the whole file
    layer       text        not null,                  -- generated, remembered, driver, model, worker, person
    result      text        not null,                  -- resolved, declined, failed
    base_text   text,
    ours_text   text,
    theirs_text text,
    text        text,                                  -- what was put in the hunk's place
    reason      text        not null,
    key         text,                                  -- what the hunk is known by again; null where nothing may be learned
    model       text,                                  -- who answered, where a model was asked
    cost        bigint,                                -- nano-dollars; null where nothing was asked or has no price
    refused     boolean     not null default false,    -- it was in a tree that did not pass the gate
    decided_at  timestamptz not null default now()
);
create index resolution_merge on resolution (merge);

-- Decisions whose merge has landed, for the day the same hunk conflicts again.
create table remembered (
    workspace   bigint      not null references workspace (id) on delete cascade,
    key         text        not null,                  -- digest of path and the three texts without trailing blanks
    path        text        not null,
    extension   text        not null,                  -- of the path, for finding what is alike; may be empty
    base_text   text        not null,
    ours_text   text        not null,
    theirs_text text        not null,
    text        text        not null,
    reason      text        not null,
    layer       text        not null,                  -- who decided: model, person
    model       text,
    run         uuid        references run (id) on delete set null,
    merge       bigint      references merge (id) on delete set null,
    task        text        not null,
    uses        bigint      not null default 0,        -- merges that landed with it
    learned_at  timestamptz not null default now(),
    used_at     timestamptz,
    primary key (workspace, key)
);
create index remembered_extension on remembered (workspace, extension, learned_at desc);

-- What a person decided about a conflicting path. It holds for the three versions that met there, and for no others.
create table answer (
    merge       bigint      not null references merge (id) on delete cascade,
    path        text        not null,
    attempt     integer     not null,                  -- of the task: work that comes again is asked about again
    base        text,
    ours        text,
    theirs      text,
    decision    text        not null,                  -- ours, theirs, delete, content
    content     bytea,
    by          text        not null,                  -- as they call themselves
    answered_at timestamptz not null default now(),
    primary key (merge, path)
);

create table effect (
    id         bigint generated always as identity primary key,
    run        uuid        not null references run (id) on delete cascade,
    kind       text        not null,
    key        text        not null unique,
    tries      integer     not null default 0,         -- claims so far, but for those given back by a drain
    fence      bigint      not null default 0,         -- grows with each claim
    process    bigint,
    epoch      bigint,
    wake_at    timestamptz,
    error      text,
    created_at timestamptz not null default now(),
    done_at    timestamptz
);
create index effect_open on effect (id) where done_at is null;

-- Singletons held by one process at a time, such as the merger of a branch. The fence only grows.
create table lease (
    name     text        primary key,
    process  bigint,
    epoch    bigint,
    fence    bigint      not null default 0,
    taken_at timestamptz not null default now()
);

create table event (
    run  uuid        not null references run (id) on delete cascade,
    seq  bigint      not null,
    at   timestamptz not null default clock_timestamp(),
    kind text        not null,
    task bigint,
    data jsonb       not null,
    primary key (run, seq)
);
