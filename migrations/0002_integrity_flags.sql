-- What weakens the decision about a merge, or runs by itself elsewhere. A merge that is judged again keeps one row for
-- each kind and path; only the flags of merges that landed count for their run.
create table integrity_flag (
    id          bigint generated always as identity primary key,
    run         uuid        not null references run (id) on delete cascade,
    task        bigint      not null references task (id) on delete cascade,
    merge       bigint      not null references merge (id) on delete cascade,
    kind        text        not null,
    path        text        not null default '',        -- empty where it is about the merge as a whole
    detail      text        not null,
    recorded_at timestamptz not null default now(),
    unique (merge, kind, path)
);
create index integrity_flag_run on integrity_flag (run);

-- Whether the user's checkout is fast-forwarded although the run has integrity flags.
alter table run add column allow_integrity_flags boolean not null default false;
